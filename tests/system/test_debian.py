"""The page docs/debian.md, block by block, as root of a machine of its own with a systemd."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qyvo.api import error_body
from tests.support.documents import ADDRESS, PAGES, blocks, tracked_files
from tests.support.machine import Machine, machine
from tests.support.paths import ROOT
from tests.support.processes import need, wait_until

PYTHON = "/usr/bin/python3"  # of Debian
DOMAIN = "contacts.example.com"
URL = f"https://{DOMAIN}"
SITE = "/etc/nginx/sites-available/qyvo"
VARIABLES, *_ = blocks("bash", "docs/debian.md")
[REQUEST] = [block for block in blocks("sh", "README.md") if block.startswith("curl")]
PHONE = "+14155550123"  # of this request
IMPORTED = "+14155550124"

# Asks the domain for the answer to a challenge, as RFC 8555 (8.3) has it, and signs by itself.
CERTBOT = """\
#!/bin/bash
set -eu
while [ $# -gt 0 ]; do
    case $1 in
        --domain) domain=$2 ;;
        --webroot-path) root=$2 ;;
        --deploy-hook) hook=$2 ;;
    esac
    shift
done
mkdir -p "$root/.well-known/acme-challenge" "/etc/letsencrypt/live/$domain"
echo answer >"$root/.well-known/acme-challenge/token"
[ "$(curl --silent "http://$domain/.well-known/acme-challenge/token")" = answer ]
cd "/etc/letsencrypt/live/$domain"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \\
    -subj "/CN=$domain" -addext "subjectAltName=DNS:$domain" \\
    -keyout privkey.pem -out fullchain.pem 2>/dev/null
# Trusts the former ones, too: after a reload, nginx may show the former one for a moment.
cat fullchain.pem >>../trusted.pem
eval "$hook"
"""
APT_GET = """\
#!/bin/sh
# Says what it would install, if Debian's lists are there.
ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || exit 0
[ "$1" = update ] || exec /usr/bin/apt-get --simulate "$@"
"""
ENVIRONMENT = """
cd /opt/qyvo
python3 -m venv --without-pip .venv
echo /opt/shared/packages >$(ls -d .venv/lib/python*/site-packages)/packages.pth
touch .venv/runtime
# Compiles what is used: pip compiles all.
DATA_DIR=/tmp .venv/bin/python manage.py check
"""


def sections() -> dict[str, str]:
    """The block of each section of the page, by the heading of the section."""
    _, *parts = re.split(r"^## (.+)\n", PAGES["docs/debian.md"], flags=re.MULTILINE)
    found = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            assert title not in found
            found[title] = block
    return found


def share(folder: Path) -> None:
    """What the machine would get from the network: the code, and the packages of Python."""
    folder.chmod(0o755)  # the users of the service read the packages
    for path in tracked_files():
        target = folder / "source" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    commit(folder, "This version")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", PYTHON, "--target", folder / "packages",
         "--require-hashes", "--requirement", ROOT / "requirements.txt"],
        check=True,
    )  # fmt: skip


def commit(folder: Path, message: str) -> None:
    author = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    words = ["commit", "--quiet", "--allow-empty", f"--message={message}"]
    for command in (["init", "--quiet"], ["add", "--all"], [*author, *words]):
        subprocess.run(["git", "-C", str(folder / "source"), *command], check=True)


class Installation:
    """What the page sets up, asked from inside of the machine. `token`: of the API, once there is
    one."""

    def __init__(self, debian: Machine, shared: Path) -> None:
        self.debian, self.shared, self.token = debian, shared, ""

    def run(self, script: str, stdin: bytes = b"") -> str:
        authority = "/etc/letsencrypt/live/trusted.pem"
        variables = f"export QYVO_TOKEN={self.token} CURL_CA_BUNDLE={authority}\n"
        return self.debian.run(variables + script, stdin)

    def block(self, block: str) -> str:
        return self.debian.run(f"{VARIABLES}[ ! -d /opt/qyvo ] || cd /opt/qyvo\n{block}")

    def ask(self, path: str, options: str = "") -> tuple[int, str]:
        """Status and body of the answer of nginx."""
        answer = self.run(f"curl -sS -w '\n%{{http_code}}' {options} '{URL}{path}'")
        body, _, status = answer.rpartition("\n")
        return int(status), body

    def act(self, name: str, **body: Any) -> int:
        options = f"""-H "Authorization: Bearer $QYVO_TOKEN" --json '{json.dumps(body)}'"""
        return self.ask(f"/api/v1/actions/{name}", options)[0]

    def refuses(self, script: str) -> bool:
        return self.run(f"if ({script}) >/tmp/said 2>&1; then echo done; fi") == ""


def prepare(debian: Machine) -> None:
    """What an empty machine has, and what the network gives."""
    version = newest_postgresql(debian)
    debian.run(f"pg_dropcluster --stop {version} main || true; pg_createcluster {version} main")
    debian.run(f"rm -f /usr/sbin/policy-rc.d; echo 127.0.0.1 {DOMAIN} >>/etc/hosts")
    debian.run(VARIABLES + 'git config --system url./opt/shared/source.insteadOf "$SOURCE"')
    debian.write("/usr/local/bin/apt-get", APT_GET, 0o755)
    debian.write("/usr/local/bin/certbot", CERTBOT, 0o755)


def newest_postgresql(debian: Machine) -> str:
    return debian.run("ls /usr/lib/postgresql | sort -n | tail -n 1").strip()


def install(here: Installation, block: str) -> str:
    """Without the network: with the Debian packages and the Python packages of this machine."""
    downloads, line, rest = block.partition("\nmake ")
    here.block(downloads)
    here.run(ENVIRONMENT)
    here.run("systemctl start postgresql nginx redis-server")
    return here.block(line + rest)


# From another address than the other requests.
LOGIN = f"""
cd /tmp
curl -sS -c jar -o page {URL}/admin/login/
token=$(grep -o 'csrfmiddlewaretoken" value="[^"]*' page | head -n 1 | cut -d '"' -f 3)
form="csrfmiddlewaretoken=$token&username=ann@example.com&password=wrong"
curl -sS --interface 127.0.0.2 -H 'X-Forwarded-For: 203.0.113.9' -b jar -e {URL}/admin/login/ \\
    -o page -d "$form" {URL}/admin/login/
"""


# What has to be true after the block of a section


def after_settings(here: Installation, printed: str) -> None:
    assert here.run("stat -c '%a %U' /etc/qyvo /etc/qyvo/env") == "700 root\n600 root\n"
    before = here.run("cat /etc/qyvo/env")
    with pytest.raises(AssertionError, match="cannot overwrite existing file"):
        here.block(SECTIONS["Settings"])
    assert here.run("cat /etc/qyvo/env") == before


def after_server_and_worker(here: Installation, printed: str) -> None:
    said = here.run("systemd-analyze verify /etc/systemd/system/qyvo-*.{service,timer} 2>&1")
    assert "qyvo" not in said
    as_app = "runuser -u qyvo_app -- psql -d qyvo -c"
    assert here.refuses(f"{as_app} 'DROP TABLE contacts_contact'")
    assert here.refuses("runuser -u qyvo_app -- touch /opt/qyvo/manage.py")


def after_https(here: Installation, printed: str) -> None:
    """The certificate can be renewed, and the address of a caller is the true one."""
    here.block(SECTIONS["HTTPS"].partition("sed ")[0])
    written = "-o /dev/null -w '%{http_code} %{redirect_url}'"
    redirected = f"curl -sS {written} http://{DOMAIN}/docs"
    # A reload ends before nginx has stopped the processes with the former site.
    wait_until(lambda: here.run(redirected) == f"301 {URL}/docs")
    assert "\nstrict-transport-security: " in here.run(f"curl -sSi {URL}/docs").lower()
    assert here.ask("/metrics")[0] == 404
    here.run(LOGIN)
    asked = "runuser -u qyvo -- psql -Atd qyvo -c 'SELECT ip_address FROM axes_accessattempt'"
    assert here.run(asked) == "127.0.0.2\n"


def after_first_user(here: Installation, printed: str) -> None:
    """The request of the README gets its answer, and the worker imports a file."""
    [here.token] = re.findall(r"qyvo_\w+", printed)
    assert json.loads(here.run(REQUEST.replace("curl", "curl -sS").replace(ADDRESS, URL)))
    key = '-H "Authorization: Bearer $QYVO_TOKEN"'
    file = f"phone,name\n{IMPORTED},Ada\n".encode()
    here.run("cat >/tmp/shop.csv", file)
    status, body = here.ask("/api/v1/imports", f"{key} -F file=@/tmp/shop.csv")
    assert status == 202, body
    wait_until(lambda: here.act("get-contact", phone=IMPORTED) == 200)
    here.ask("/admin/contacts/contact/?q=Ada")


def after_logs(here: Installation, printed: str) -> None:
    assert "create-contact" in printed
    log = here.run("cat /var/log/nginx/access.log")
    assert "/admin/contacts/contact/" in log
    assert "Ada" not in log
    # So that the backup deletes one.
    here.run("runuser -u qyvo -- mkdir /var/backups/qyvo/2020-01-{01..14}")


def after_backup(here: Installation, printed: str) -> None:
    assert len(re.findall("2020-01-", printed)) == 13
    assert "2020-01-01" not in printed
    new = here.run("cd /var/backups/qyvo; ls $(ls -d 20* | tail -n 1)")
    assert new == "data.tar.gz\nenv\nqyvo.dump\n"
    assert here.refuses("runuser -u qyvo_app -- ls /var/backups/qyvo")
    here.run("rm -r /var/lib/qyvo/imports")
    assert here.act("delete-contact", phone=PHONE) == 200


def after_restore(here: Installation, printed: str) -> None:
    assert here.act("get-contact", phone=PHONE) == 200
    assert here.act("create-contact", phone="+14155550125") == 201
    assert here.run("stat -c %U /var/lib/qyvo/imports") == "qyvo_app\n"
    commit(here.shared, "Next version")


def after_upgrade(here: Installation, printed: str) -> None:
    assert here.run("git -C /opt/qyvo log -1 --format=%s") == "Next version\n"
    assert here.act("get-contact", phone=PHONE) == 200
    assert here.ask("/static/qyvo/admin.css")[0] == 200
    here.run("systemctl stop qyvo-server")
    results = here.run("systemctl show --property=Result qyvo-server qyvo-worker qyvo-backup")
    assert results.split() == ["Result=success"] * 3
    assert here.ask("/static/qyvo/admin.css")[0] == 200, "nginx keeps it"
    status, body = here.ask("/docs")
    assert (status, json.loads(body)) == (503, error_body(503))
    here.run(f"sed -i 's|rate=20r/s|rate=1r/m|; s/burst=200/burst=2/' {SITE}")
    here.run("systemctl restart nginx")
    answers = [here.ask("/docs") for _ in range(5)]
    assert [status for status, _ in answers] == [503] * 3 + [429] * 2
    assert json.loads(answers[-1][1]) == error_body(429)


SECTIONS = sections()
STAND_INS = {"Programs": install}
CHECKS = {
    "Settings": after_settings,
    "Server and worker": after_server_and_worker,
    "HTTPS": after_https,
    "First user": after_first_user,
    "Logs": after_logs,
    "Backup": after_backup,
    "Restore": after_restore,
    "Upgrade": after_upgrade,
}


@pytest.mark.slow
@pytest.mark.once
def test_the_page_leads_from_an_empty_machine_to_a_service_that_can_be_restored(
    tmp_path: Path,
) -> None:
    for program in ("curl", "git", "make", "nginx", "openssl", "pg_createcluster", "redis-server"):
        need(program)
    with machine(tmp_path) as debian:
        share(tmp_path)
        prepare(debian)
        here = Installation(debian, tmp_path)
        for title, block in SECTIONS.items():
            printed = STAND_INS.get(title, Installation.block)(here, block)
            if title in CHECKS:
                CHECKS[title](here, printed)


def test_the_rights_are_those_of_the_page_on_operations() -> None:
    [recipe] = blocks("sql", "docs/operations.md")
    assert recipe.partition("\n")[2] == (ROOT / "docs/debian/rights.sql").read_text()
