"""Files in the code pages that spreadsheets write are read as their writers saw them."""

import unicodedata
from pathlib import Path

import pytest

from contacts.importing.formats import decoding, gzipped
from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import UncertainEncoding, UnreadableFile

PEOPLE = [
    ("cp1252", "Zoé Müller,Genève|José Núñez,Málaga|François Lefèvre,Orléans|Jürgen Groß,Köln"),
    ("cp1252", "Hélène Dupré,Besançon|Benoît Lemaître,Nîmes"),
    ("cp1252", "João Conceição,São Paulo|Inês Araújo,Maringá"),
    ("cp1252", "Jörg Weiß,München|Käthe Schäfer,Düsseldorf"),
    ("cp1252", "Íñigo Peña,Cádiz|Begoña Ibáñez,Logroño"),
    ("cp1252", "Åsa Öberg,Malmö|Søren Kjær,Århus"),
    ("cp1252", "Guðrún Jónsdóttir,Reykjavík|Þór Sigurðsson,Akureyri"),
    ("cp1252", "ZOÉ MÜLLER,GENÈVE|FRANÇOIS LEFÈVRE,BÂLE"),
    ("cp1252", "Zoé Martin,Lyon"),
    ("cp1252", "Patrick O’Brien,Dublin"),
    ("cp1252", "Ann Lee,£20"),
    ("cp1252", "Patrick O´Brien,Dublin|Marta D´Angelo,Roma"),  # Ž in ISO 8859-15
    ("cp1250", "Łukasz Żółć,Kraków|Małgorzata Śliwińska,Łódź"),
    ("cp1250", "Jiří Dvořák,Plzeň|Božena Němcová,České Budějovice"),
    ("cp1250", "Szűcs Gergő,Győr|Erdős Jenő,Székesfehérvár"),
    ("cp1250", "Đorđe Jovanović,Niš|Šime Čović,Šibenik"),
    ("cp1250", "Ľudmila Šťastná,Košice|Ján Kráľ,Žilina"),
    ("cp1250", "Ştefan Mureşan,Iaşi|Ioniţă Rădulescu,Timişoara"),
    ("iso-8859-2", "Małgorzata Śliwińska,Łódź|Jan Wąsik,Piaseczno"),
    ("iso-8859-2", "Božena Němcová,České Budějovice|Šárka Dvořáková,Plzeň"),
    ("iso-8859-2", "Ľudmila Šťastná,Košice|Ján Kráľ,Žilina"),
    ("iso-8859-2", "Đorđe Jovanović,Niš|Šime Čović,Šibenik"),
    ("cp1251", "Анна Петрова,Москва"),
    ("cp1251", "Оксана Шевченко,Київ|Андрій Коваленко,Львів"),
    ("cp1251", "Георги Димитров,София|Елена Иванова,Пловдив"),
    ("cp1251", "АННА ПЕТРОВА,МОСКВА|ИВАН СИДОРОВ,КАЗАНЬ"),
    ("cp1253", "Γιώργος Παπαδόπουλος,Αθήνα|Ελένη Γεωργίου,Πάτρα"),
    ("cp1254", "Ayşe Yılmaz,İstanbul|Gülşen Çağlar,Muğla"),
    ("cp1255", "דוד כהן,תל אביב|שרה לוי,ירושלים"),
    ("cp1256", "محمد علي,القاهرة|فاطمة حسن,الرياض"),
    ("cp1257", "Jūratė Žukauskaitė,Šiauliai|Kęstutis Petrauskas,Klaipėda"),
    ("cp1257", "Jānis Bērziņš,Rīga|Ilze Kalniņa,Liepāja"),
    ("cp1257", "Žanna Mägi,Pärnu|Tõnu Šmidt,Võru"),
    ("cp1258", "Nguyễn Văn Đức,Hà Nội|Trần Thị Hương,Đà Nẵng"),
    ("mac_roman", "Zoé Müller,Genève|François Lefèvre,Orléans|Jürgen Groß,Köln"),
    ("cp932", "山田 太郎,東京都千代田区|鈴木 花子,大阪府大阪市"),
    ("cp932", "ヤマダ タロウ,横浜市|さくら,札幌"),
    ("cp932", "ｻﾄｳ ﾊﾅｺ,神戸市"),
    ("gb18030", "王伟,北京|李娜,上海"),
    ("gb18030", "李珂,北京|刘耀,上海"),  # in cp949, characters that composing would change
    ("cp950", "陳怡君,台北|林志明,高雄"),
    ("cp949", "김민수,서울|이지은,부산"),
    ("cp850", "Zoé Müller,Genève|José Núñez,Málaga|François Lefèvre,Orléans|Jürgen Groß,Köln"),
    ("cp850", "João Gonçalves,São Paulo"),
    ("cp850", "Jürgen Groß,Köln"),
    ("cp852", "Łukasz Żółć,Kraków|Małgorzata Śliwińska,Łódź"),
    ("cp852", "Jiří Dvořák,Plzeň|Božena Němcová,České Budějovice"),
    ("cp866", "Анна Петрова,Москва|Иван Сидоров,Казань"),
    ("koi8-r", "Анна Петрова,Москва|Иван Сидоров,Казань"),
    ("koi8-u", "Оксана Шевченко,Київ|Андрій Коваленко,Львів"),
    ("cp1255", "גולדמן נעמי,חיפה|רוטמן סלומון,אילת"),  # capitals in KOI8-R
    ("euc-jp", "山田 太郎,東京都千代田区|鈴木 花子,大阪府大阪市"),
    ("euc-jp", "ヤマダ タロウ,横浜市|さくら,札幌"),
    ("iso-8859-15", "Cécile Lebœuf,Nîmes|Žanna Mägi,Pärnu|Zoé Martin,10€"),
]


def in_code_page(text: str, encoding: str) -> bytes:
    """`text` in the code page. cp1258 writes tones behind the letters."""
    if encoding != "cp1258":
        return text.encode(encoding)
    return "".join(map(with_tone_behind, text)).encode(encoding)


def with_tone_behind(letter: str) -> str:
    parts = unicodedata.normalize("NFD", letter)
    tones = "".join(part for part in parts if part in "\u0300\u0301\u0303\u0309\u0323")
    return (
        unicodedata.normalize("NFC", "".join(part for part in parts if part not in tones)) + tones
    )


def file_of(folder: Path, text: str, encoding: str) -> Path:
    rows = [f"+3361234560{n},{row}" for n, row in enumerate(text.split("|"))]
    path = folder / "people.csv"
    path.write_bytes(in_code_page("\n".join(["phone,name,town", *rows, ""]), encoding))
    return path


@pytest.mark.parametrize(("encoding", "text"), PEOPLE)
def test_names_read_as_they_were_written(tmp_path: Path, encoding: str, text: str) -> None:
    path = file_of(tmp_path, text, encoding)
    for source in (RecordFile(path), FileHead(path)):
        assert source.encoding == encoding
        found = [f"{record.cells['name']},{record.cells['town']}" for record in source.records()]
        assert found == text.split("|")


def test_a_real_doubt_is_refused_with_the_candidates(tmp_path: Path) -> None:
    path = file_of(tmp_path, "Petricã Novak,Deva", "cp1252")
    with pytest.raises(UncertainEncoding) as refused:
        RecordFile(path)
    assert dict(refused.value.candidates).keys() >= {"cp1250", "cp1252"}
    assert ["Petrică"] in [words for _, words in refused.value.candidates]
    assert "cp1250 or cp1252" in str(refused.value) or "cp1252 or cp1250" in str(refused.value)
    assert "Petric" not in str(refused.value), "the message shows no cell"
    assert RecordFile(path, "cp1250").header == ["phone", "name", "town"]


def test_a_rival_of_windows_1252_is_a_doubt_where_it_reads_nearly_as_well(tmp_path: Path) -> None:
    path = file_of(tmp_path, "Jurgita Stankevičius,Vilnius", "cp1257")
    with pytest.raises(UncertainEncoding) as refused:
        RecordFile(path)
    assert ["Stankevičius"] in [words for _, words in refused.value.candidates]


def test_utf8_with_a_damaged_line_is_not_taken_for_a_code_page(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("phone,name\n1,Zoé\n2,Jürgen\n".encode() + "3,Noël\n".encode("cp1252"))
    with pytest.raises(UnreadableFile, match=r"Most of the file is UTF-8, but line 4 is not\."):
        RecordFile(path)


def test_the_beginning_of_a_file_decides_for_preview_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "HEAD", gzipped.BLOCK)
    polish = "".join(f"+336{n:08},Michał Śliwiński{n},Łódź\n" for n in range(5000))
    path = tmp_path / "people.csv"
    path.write_bytes(b"phone,name,town\n" + polish.encode("cp1250") + "1,Zoè,è\n".encode("cp1252"))
    assert RecordFile(path).encoding == FileHead(path).encoding == "cp1250"


def test_accents_may_come_late(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    rows = "".join(f"+336{n:08},Ann\n" for n in range(20_000))
    path.write_bytes(f"phone,name\n{rows}1,Анна Петрова\n".encode("cp1251"))
    assert RecordFile(path).encoding == "cp1251"
