"""Which column is which field, by the headers that programs write in many languages."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.importing import columns
from contacts.importing.columns import is_known, known_field, match
from contacts.importing.row import BadRecord, ReadOptions, clean
from contacts.models import Contact
from contacts.values.header_names import PhoneKind, phone_kind
from tests.support.imports import bring

MOBILE, HOME, WORK = "+33612345678", "+33145678901", "+33145678902"


def matched(*header: str, **given_map: str) -> columns.Columns:
    return match(header, given_map, rest_to_metadata=False)


def phone_in(**cells: str) -> str:
    """The phone of a record with these cells; `_` in a name is a space."""
    named = {name.replace("_", " "): cell for name, cell in cells.items()}
    fields, types, _ = match(named, {}, rest_to_metadata=False)
    return str(clean(named, ReadOptions(fields, types=types)).fields["phone"])


# Headers of programs

PROGRAMS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "Shopify, customers": (
        ("Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,"
        "Default Address Address1,Default Address City,Default Address Zip,Default Address Phone,"
        "Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,Tags"),
        {"phone": ["Phone", "Default Address Phone"], "first_name": ["First Name"],
         "last_name": ["Last Name"], "email": ["Email"], "tags": ["Tags"]},
    ),
    "HubSpot": (
        ("Record ID,First Name,Last Name,Email,Phone Number,Mobile Phone Number,Contact owner,"
        "Lead Status,Associated Company,Preferred language"),
        {"phone": ["Mobile Phone Number", "Phone Number"], "first_name": ["First Name"],
         "last_name": ["Last Name"], "email": ["Email"], "locale": ["Preferred language"]},
    ),
    "WooCommerce": (
        ("ID,Username,User Email,Billing First Name,Billing Last Name,Billing Company,"
        "Billing Phone,Billing Email Address,Shipping Phone"),
        {"phone": ["Billing Phone", "Shipping Phone"], "first_name": ["Billing First Name"],
         "last_name": ["Billing Last Name"], "email": ["User Email", "Billing Email Address"]},
    ),
    "WooCommerce, fields": (
        "customer_id,first_name,last_name,email,date_registered,billing_company,billing_phone",
        {"phone": ["billing_phone"], "first_name": ["first_name"], "last_name": ["last_name"],
         "email": ["email"]},
    ),
    "Wix": (
        "First Name,Last Name,Email 1,Email 2,Phone 1,Phone 2,Company,Position,Labels,Language",
        {"phone": ["Phone 1", "Phone 2"], "first_name": ["First Name"], "tags": ["Labels"],
         "last_name": ["Last Name"], "email": ["Email 1", "Email 2"], "locale": ["Language"]},
    ),
    "Squarespace": (
        ("Email,First Name,Last Name,Shipping Name,Shipping Phone Number,Billing Name,"
        "Billing Phone Number,Tags,Mailing Lists"),
        {"phone": ["Billing Phone Number", "Shipping Phone Number"], "name": ["Billing Name"],
         "first_name": ["First Name"], "last_name": ["Last Name"], "email": ["Email"],
         "tags": ["Tags"]},
    ),
    "Pipedrive": (
        ("Person - Name,Person - Label,Person - Organization,Person - Phone - Work,"
        "Person - Phone - Home,Person - Phone - Mobile,Person - Phone - Other,"
        "Person - Email - Work,Person - Email - Home,Person - Owner"),
        {"phone": ["Person - Phone - Mobile", "Person - Phone - Work", "Person - Phone - Home",
                   "Person - Phone - Other"],
         "name": ["Person - Name"], "tags": ["Person - Label"],
         "email": ["Person - Email - Work", "Person - Email - Home"]},
    ),
    "Zoho": (
        ("Contact Id,Contact Owner,Lead Source,First Name,Last Name,Account Name,Email,Phone,"
        "Home Phone,Other Phone,Fax,Mobile,Assistant,Asst Phone,Email Opt Out,Tag"),
        {"phone": ["Mobile", "Phone", "Home Phone", "Other Phone"], "first_name": ["First Name"],
         "last_name": ["Last Name"], "email": ["Email"], "tags": ["Tag"]},
    ),
    "Salesforce, API": (
        ("Id,AccountId,LastName,FirstName,Name,Phone,Fax,MobilePhone,HomePhone,OtherPhone,"
        "AssistantPhone,Email,OwnerId"),
        {"phone": ["MobilePhone", "Phone", "HomePhone", "OtherPhone"], "name": ["Name"],
         "first_name": ["FirstName"], "last_name": ["LastName"], "email": ["Email"]},
    ),
    "Klaviyo": (
        ("Email,Klaviyo ID,First Name,Last Name,Phone Number,City,Country,Source,"
        "Email Marketing Consent,SMS Marketing Consent,Profile Created On"),
        {"phone": ["Phone Number"], "first_name": ["First Name"], "last_name": ["Last Name"],
         "email": ["Email"]},
    ),
    "Mailchimp": (
        ("Email Address,First Name,Last Name,Address,Phone Number,MEMBER_RATING,OPTIN_TIME,"
        "OPTIN_IP,CONFIRM_TIME,LATITUDE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS"),
        {"phone": ["Phone Number"], "first_name": ["First Name"], "last_name": ["Last Name"],
         "email": ["Email Address"], "tags": ["TAGS"]},
    ),
    "Mailchimp, merge fields": (
        "EMAIL,FNAME,LNAME,PHONE,UNSUB,STATUS",
        {"phone": ["PHONE"], "first_name": ["FNAME"], "last_name": ["LNAME"], "email": ["EMAIL"]},
    ),
    "Brevo": (
        "CONTACT ID,EMAIL,FIRSTNAME,LASTNAME,SMS,LANDLINE_NUMBER,WHATSAPP,INTERESTS",
        {"phone": ["WHATSAPP", "SMS", "LANDLINE_NUMBER"], "first_name": ["FIRSTNAME"],
         "last_name": ["LASTNAME"], "email": ["EMAIL"]},
    ),
    "RapidPro": (
        ("Contact UUID,Name,Language,Status,Created On,Last Seen On,URN:Tel,URN:WhatsApp,"
        "URN:Mailto,Field:Age,Group:Testers"),
        {"phone": ["URN:WhatsApp", "URN:Tel"], "name": ["Name"], "locale": ["Language"],
         "email": ["URN:Mailto"]},
    ),
    "Chatwoot": (
        "id,name,email,identifier,phone_number,company_name,labels",
        {"phone": ["phone_number"], "name": ["name"], "email": ["email"], "tags": ["labels"]},
    ),
    "Twenty": (
        ("Id,Name / First Name,Name / Last Name,Emails / Primary Email,"
        "Phones / Primary Phone Country Code,Phones / Primary Phone Number,Job Title"),
        {"phone": ["Phones / Primary Phone Number"], "first_name": ["Name / First Name"],
         "last_name": ["Name / Last Name"], "email": ["Emails / Primary Email"]},
    ),
    "Google": (
        ("First Name,Middle Name,Last Name,Phonetic First Name,Name Prefix,Name Suffix,Nickname,"
        "File As,Organization Name,Labels,E-mail 1 - Label,E-mail 1 - Value,Phone 1 - Label,"
        "Phone 1 - Value,Address 1 - Label"),
        {"phone": ["Phone 1 - Value"], "first_name": ["First Name"], "tags": ["Labels"],
         "middle_name": ["Middle Name"], "last_name": ["Last Name"], "email": ["E-mail 1 - Value"]},
    ),
    "Google, before 2024": (
        ("Name,Given Name,Additional Name,Family Name,Yomi Name,Billing Information,"
        "Language,Group Membership,E-mail 1 - Type,E-mail 1 - Value,Phone 1 - Type,Phone 1 - Value,"
        "Organization 1 - Name"),
        {"phone": ["Phone 1 - Value"], "name": ["Name"], "first_name": ["Given Name"],
         "middle_name": ["Additional Name"], "last_name": ["Family Name"],
         "locale": ["Language"], "tags": ["Group Membership"], "email": ["E-mail 1 - Value"]},
    ),
    "Outlook": (
        ("Title,First Name,Middle Name,Last Name,Suffix,Company,Assistant's Phone,Business Fax,"
        "Business Phone,Business Phone 2,Callback,Car Phone,Company Main Phone,Home Fax,Home Phone,"
        "Mobile Phone,Other Fax,Other Phone,Pager,Primary Phone,Radio Phone,TTY/TDD Phone,Telex,"
        "Assistant's Name,Categories,E-mail Address,E-mail Type,E-mail Display Name,"
        "E-mail 2 Address,Language,Manager's Name"),
        {"phone": ["Mobile Phone", "Primary Phone", "Business Phone", "Business Phone 2",
                   "Home Phone", "Car Phone", "Other Phone", "Radio Phone"],
         "first_name": ["First Name"], "middle_name": ["Middle Name"], "last_name": ["Last Name"],
         "tags": ["Categories"], "email": ["E-mail Address", "E-mail 2 Address"],
         "locale": ["Language"]},
    ),
    "Outlook, German": (
        ("Anrede,Vorname,Weitere Vornamen,Nachname,Suffix,Firma,Telefon Assistent,Fax geschäftlich,"
        "Telefon geschäftlich,Rückmeldung,Autotelefon,Telefon Firma,Fax privat,Telefon (privat),"
        "Telefon (privat 2),Mobiltelefon,Weiteres Telefon,Pager,Haupttelefon,"
        "Telefon für Hörbehinderte,E-Mail-Adresse,E-Mail-Typ,Kategorien,Sprache"),
        {"phone": ["Mobiltelefon", "Haupttelefon", "Telefon geschäftlich", "Telefon (privat)",
                   "Telefon (privat 2)", "Autotelefon", "Weiteres Telefon"],
         "first_name": ["Vorname"], "middle_name": ["Weitere Vornamen"],
         "last_name": ["Nachname"], "email": ["E-Mail-Adresse"], "tags": ["Kategorien"],
         "locale": ["Sprache"]},
    ),
    "Shopify, orders": (
        (
            "Name,Email,Financial Status,Paid at,Accepts Marketing,Total,Lineitem name,"
            "Billing Name,Billing Street,Billing Phone,Shipping Name,Shipping Phone,Notes,"
            "Payment Method,Vendor,Tags,Source,Phone"
        ),
        {"phone": ["Billing Phone", "Phone", "Shipping Phone"], "name": ["Billing Name", "Name"],
         "email": ["Email"], "tags": ["Tags"]},
    ),
    "a form": (
        "Timestamp,What is your full name?,WhatsApp number (with country code),Your e-mail *",
        {"phone": ["WhatsApp number (with country code)"], "name": ["What is your full name?"],
         "email": ["Your e-mail *"]},
    ),
    "Facebook": (
        ("id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,"
        "form_name,is_organic,platform,full_name,phone_number,email"),
        {"phone": ["phone_number"], "name": ["full_name"], "email": ["email"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_columns_of_a_program_are_known(program: str) -> None:
    header, expected = PROGRAMS[program]
    assert matched(*header.split(",")).candidates == expected


@pytest.mark.parametrize(
    ("phone", "mobile", "name", "email", "tags"),
    [
        ("Phone number", "Mobile no.", "Full name", "E-mail address", "Labels"),
        ("Telefonnummer", "Handynummer", "Vor- und Nachname", "E-Mail", "Schlagwörter"),
        ("N° de téléphone", "Téléphone portable", "Nom complet", "Courriel", "Étiquettes"),
        ("Teléfono", "Teléfono móvil", "Nombre y apellidos", "Correo electrónico", "Etiquetas"),
        ("Número de telefone", "Celular", "Nome completo", "Endereço de e-mail", "Marcadores"),
        ("Telefono", "Cellulare", "Nome e cognome", "Posta elettronica", "Etichette"),
        ("Telefoonnummer", "Mobiel nummer", "Volledige naam", "E-mailadres", "Groepen"),
        ("Nr telefonu", "Telefon komórkowy", "Imię i nazwisko", "Adres e-mail", "Etykiety"),
        ("Номер телефона", "Мобильный телефон", "ФИО", "Электронная почта", "Теги"),
        ("Telefon numarası", "Cep telefonu", "Adı Soyadı", "E-posta", "Etiketler"),
        ("رقم الهاتف", "رقم الجوال", "الاسم الكامل", "البريد الإلكتروني", "الوسوم"),
        ("מספר טלפון", "טלפון נייד", "שם מלא", "דוא״ל", "תגיות"),
        ("फ़ोन नंबर", "मोबाइल नंबर", "पूरा नाम", "ईमेल", "टैग"),
        ("Nomor telepon", "No. HP", "Nama lengkap", "Alamat email", "Label"),
        ("电话号码", "手机", "姓名", "电子邮件", "标签"),
        ("電話號碼", "手機", "姓名", "電子郵件", "標籤"),
        ("電話番号", "携帯電話", "氏名", "メールアドレス", "タグ"),
        ("전화번호", "휴대폰", "이름", "이메일", "태그"),
    ],
)
def test_columns_are_known_in_many_languages(
    phone: str, mobile: str, name: str, email: str, tags: str
) -> None:
    assert matched(phone, mobile, name, email, tags).candidates == {
        "phone": [mobile, phone], "name": [name], "email": [email], "tags": [tags],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "left_out"),
    [
        (("Prénom,Deuxième prénom,Nom,Adresse de messagerie,Catégories,Tél. mobile,"
         "Téléphone (bureau),Téléphone (domicile),Autre téléphone"),
         "Télécopie (bureau),Téléphone société,Téléphone de l'assistant(e),Type de messagerie"),
        (("Nombre,Segundo nombre,Apellidos,Dirección de correo electrónico,Categorías,Móvil,"
         "Teléfono del trabajo,Número de teléfono particular,Otro teléfono"),
         "Fax del trabajo,Número de centralita de la organización,Teléfono del ayudante"),
        (("Nome,Segundo Nome,Sobrenome,Endereço de email,Categorias,Telefone celular,"
         "Telefone comercial,Telefone residencial,Outro telefone"),
         "Fax comercial,Telefone principal da empresa,Telefone do assistente,Tipo de email"),
        (("Voornaam,Middelste naam,Achternaam,E-mailadres,Categorieën,Mobiele telefoon,"
         "Telefoon op werk,Telefoon thuis,Andere telefoon"),
         "Fax op werk,Hoofdtelefoon bedrijf,Telefoon assistent,E-mailtype"),
        (("Vorname,Weitere Vornamen,Nachname,E-Mail-Adresse,Kategorien,Mobiltelefon,"
         "Telefon geschäftlich,Telefon (privat),Weiteres Telefon"),
         "Fax geschäftlich,Telefon Firma,Telefon Assistent,E-Mail-Typ"),
        (("Imię,Drugie imię,Nazwisko,Adres e-mail,Kategorie,Telefon komórkowy,"
         "Telefon służbowy,Telefon domowy,Inny telefon"),
         "Faks służbowy,Główny numer telefonu firmy,Telefon asystenta,Typ adresu e-mail"),
        (("Имя,Отчество,Фамилия,Адрес эл. почты,Категории,Телефон переносной,Рабочий телефон,"
         "Домашний телефон,Другой телефон"),
         "Рабочий факс,Основной телефон организации,Телефон помощника,Тип эл. почты"),
    ],
)  # fmt: skip
def test_outlook_is_known_in_other_languages(header: str, left_out: str) -> None:
    first, middle, last, email, tags, *phones = header.split(",")
    assert matched(*reversed(header.split(",")), *left_out.split(",")).candidates == {
        "first_name": [first], "middle_name": [middle], "last_name": [last], "email": [email],
        "tags": [tags], "phone": phones,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("First name", "Surname"), ("Vorname", "Nachname"), ("Vorname", "Name"),
        ("Prénom", "Nom"), ("Nombre", "Apellidos"), ("Nome", "Sobrenome"), ("Nome", "Cognome"),
        ("Voornaam", "Achternaam"), ("Voornaam", "Naam"), ("Imię", "Nazwisko"),
        ("Имя", "Фамилия"), ("Ad", "Soyad"), ("الاسم الأول", "اسم العائلة"),
        ("שם פרטי", "שם משפחה"), ("पहला नाम", "उपनाम"), ("Nama depan", "Nama belakang"),
    ],
)  # fmt: skip
def test_a_name_is_put_together_from_its_parts(first: str, last: str) -> None:
    record = {last: "Lee", first: "Ann", "Tel": MOBILE}
    fields = matched(*record).fields
    assert clean(record, ReadOptions(fields)).fields["name"] == "Ann Lee"


def test_in_chinese_and_japanese_the_family_name_comes_first() -> None:
    record = {"名": "太郎", "姓": "山田", "電話": MOBILE}
    assert clean(record, ReadOptions(matched(*record).fields)).fields["name"] == "山田 太郎"


def test_a_record_without_its_whole_name_takes_the_parts() -> None:
    fields = matched("Name", "First name", "Last name", "Tel").fields
    record = {"Name": "", "First name": "Ann", "Last name": "Lee", "Tel": MOBILE}
    assert clean(record, ReadOptions(fields)).fields["name"] == "Ann Lee"
    assert clean(record | {"Name": "Dr Lee"}, ReadOptions(fields)).fields["name"] == "Dr Lee"


@pytest.mark.parametrize(
    "name",
    [
        "E-Mail (Arbeit)", "Primäre E-Mail-Adresse", "Email pro", "Courriel (domicile)",
        "Correo personal", "E-mail (lavoro)", "Endereço de correio eletrônico",
        "電子メール アドレス", "电子邮件地址", "전자 메일 주소",
        "Email (Billing)", "Email Address 2",
    ],
)  # fmt: skip
def test_an_email_may_say_whose_or_which_of_several_it_is(name: str) -> None:
    assert known_field(name) == "email"


@pytest.mark.parametrize(
    "name",
    [
        "Company name", "File name", "Product name", "User name", "Campaign name", "Name prefix",
        "Shipping name", "Fax", "Home fax", "Pager", "Phone type", "Phone 1 - Label",
        "Emergency contact phone", "Company phone", "Company main phone", "Assistant's Phone",
        "Order phone count", "Number of phones", "Phone country code", "phone_number_id", "CEP",
        "Accepts SMS Marketing", "Accepts Email Marketing", "Email opt out", "Mailing address",
        "E-mail Display Name", "Telefon Firma", "Opted in", "Newsletter", "Language skills", "",
        "+33612345678", "Home phone: +33 1 45 67 89 01", "Ann", "x" * 1_000_000,
        "Direct mail", "Shipping email",
    ],
)  # fmt: skip
def test_a_column_of_something_else_is_not_known(name: str) -> None:
    assert not is_known(name)


def test_consent_is_known_as_a_column_and_never_taken_by_its_name() -> None:
    assert is_known("opted_in_at")
    assert matched("phone", "opted_in_at").fields == {"phone": "phone"}


@given(st.sampled_from(sorted(columns.ALIASES["phone"])), st.sampled_from(["1 - Value", "2", ""]))
def test_each_word_for_a_phone_is_one_beside_a_number_too(word: str, beside: str) -> None:
    assert phone_kind(f"{word.upper()} {beside}") == phone_kind(word) is not None


def test_matching_takes_no_longer_for_hostile_names() -> None:
    names = [f"{'phone ' * 16}{n}" for n in range(1000)]
    start = time.process_time()
    match(names, {}, rest_to_metadata=True)
    assert time.process_time() - start < 2


# Country codes in a column of their own


@pytest.mark.parametrize(
    ("code", "number", "phone"),
    [
        ("+33", "612345678", MOBILE),
        ("33", "06 12 34 56 78", MOBILE),
        ("0033", "612345678", MOBILE),
        ("33.0", "612345678", MOBILE),
        ("1", MOBILE, MOBILE),
        ("33", "0033612345678", MOBILE),
        ("FR", MOBILE, MOBILE),
        ("", MOBILE, MOBILE),
    ],
)
@pytest.mark.parametrize(
    "header",
    [
        ("Phone country code", "Phone"),
        ("Mobile phone dialing code", "Mobile phone number"),
        ("Phones / Primary Phone Calling Code", "Phones / Primary Phone Number"),
        ("Country Code", "Phone Number"),
        ("Dial code", "WhatsApp"),
    ],
)
def test_a_country_code_beside_a_phone_belongs_to_it(
    header: tuple[str, str], code: str, number: str, phone: str
) -> None:
    found = matched(*header)
    options = ReadOptions(found.fields, codes=found.codes)
    assert clean(dict(zip(header, (code, number), strict=True)), options).fields["phone"] == phone


def test_a_calling_code_comes_before_the_letters_of_a_country() -> None:
    header = ("Phone", "Phone Calling Code", "Phone Country Code")
    assert matched(*header).codes == {"Phone": "Phone Calling Code"}
    assert matched("Postal code", "Code", "Phone").codes == {}
    assert matched("Country code", "Phone", "Mobile", "Mobile country code").codes == {
        "Phone": "Country code", "Mobile": "Mobile country code",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "number", "phone"),
    [
        ("33", "33612345678", MOBILE),
        ("+33", "33 6 12 34 56 78", MOBILE),
        ("91", "9198765432", "+919198765432"),  # of an area that begins with the same digits
        ("55", "55 99876-5432", "+5555998765432"),
    ],
)
def test_a_phone_may_have_the_country_code_beside_it_already(
    code: str, number: str, phone: str
) -> None:
    cells = {"Country code": code, "Phone": number}
    found = matched(*cells)
    options = ReadOptions(found.fields, codes=found.codes)
    assert clean(cells, options).fields["phone"] == phone


def test_a_phone_that_may_have_the_country_code_beside_it_already_is_refused() -> None:
    cells = {"Country code": "49", "Phone": "4915123456789"}
    found = matched(*cells)
    options = ReadOptions(found.fields, codes=found.codes)
    with pytest.raises(BadRecord, match="country code"):
        clean(cells, options)
    decided = options._replace(phones_have_country_code=True)
    assert clean(cells, decided).fields["phone"] == "+4915123456789"


@pytest.mark.parametrize("header", ["URN:Whatsapp", "wa_id", "WhatsApp ID"])
def test_an_id_of_whatsapp_begins_with_the_country_code_whatever_the_region(
    header: str, acme: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"{header},Name\n{MOBILE[1:]},Ann\n{WORK},Bob\n")
    assert bring(file, "--region", "US")[0] == 0
    assert dict(Contact.objects.values_list("phone", "name")) == {MOBILE: "Ann", WORK: "Bob"}


# Several columns


def test_the_kinds_of_phones_have_an_order() -> None:
    header = ["Other phone", "Home phone", "Work phone", "Phone", "Mobile", "WhatsApp", "Fax"]
    assert matched(*header).candidates == {"phone": [*reversed(header[:-1])]}
    assert [phone_kind(name) for name in reversed(header[:-1])] == [*PhoneKind][:-1]


@pytest.mark.parametrize("bad", ["", "  ", "n/a", "12", "--"])
def test_a_cell_without_a_phone_lets_the_next_column_be_tried(bad: str) -> None:
    assert phone_in(Mobile=bad, Phone="", Home_phone=HOME) == HOME


def test_a_record_without_a_good_phone_fails_with_the_error_of_the_best_column() -> None:
    with pytest.raises(ValueError, match="“c”"):
        phone_in(Phone="12", Mobile="call me")


def test_the_column_beside_a_phone_says_its_kind() -> None:
    cells = {"Phone_1_-_Value": HOME, "Phone_2_-_Value": MOBILE}
    assert phone_in(**cells, **{"Phone_1_-_Type": "Home", "Phone_2_-_Type": "* Mobile"}) == MOBILE
    assert phone_in(**cells, **{"Phone_1_-_Type": "Mobil", "Phone_2_-_Type": "Arbeit"}) == HOME
    german = {"Telefon_1_-_Typ": "Privat", "Telefon_1_-_Wert": HOME, "Telefon_2_-_Typ": "Mobil"}
    assert phone_in(**german, **{"Telefon_2_-_Wert": MOBILE}) == MOBILE
    assert phone_in(**cells, **{"Phone_1_-_Label": "Work Fax", "Phone_2_-_Label": "Mum"}) == MOBILE
    assert phone_in(**cells, **{"Phone_1_-_Type": "", "Phone_2_-_Type": "Other"}) == HOME
    with pytest.raises(ValueError, match="The phone is required"):
        phone_in(Phone=HOME, Phone_Type="Fax")


def test_several_values_in_one_cell_are_tried_in_their_order() -> None:
    assert phone_in(Phone=f"12 ::: {MOBILE} ::: {HOME}") == MOBILE


def record_of(**cells: Any) -> dict[str, Any]:
    return clean({"tel": MOBILE} | cells, ReadOptions(matched("tel", *cells).fields)).fields


def test_tags_are_the_union_and_of_emails_the_first_good_one_counts() -> None:
    found = record_of(Tags="vip, new", Labels="new", Groups="", email="bad", mail="a@x.example")
    assert found["tags"] == ["vip", "new"]
    assert found["email"] == "a@x.example"
    assert record_of(Tags="--", Labels="vip")["tags"] == ["vip"]
    assert record_of(Tags="--", Labels="")["tags"] == []


@pytest.mark.django_db
def test_a_map_may_name_several_columns_for_a_field(acme: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"Line A,Line B,Phone,Plan\n,{MOBILE},{HOME},vip\n{WORK},{HOME},x,new\n")
    maps = ["Line A=phone", "Line B=phone", "Plan=tags"]
    status, _ = bring(file, *(word for each in maps for word in ("--map", each)))
    assert status == 0
    assert {*Contact.objects.values_list("phone", flat=True)} == {MOBILE, WORK}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        "First Name,Phone,Default Address Phone\nAnn,,{0}\nBob,{1},\n",
        "name,Phone,Mobile\nAnn,{2},{0}\nBob,,{1}\n",
        "Person - Name,Person - Phone - Mobile,Person - Phone - Work\nAnn,,{0}\nBob,{1},{2}\n",
        '{{"first_name": "Ann", "phones": [], "mobile": "{0}"}}\n{{"name": "Bob", "tel": "{1}"}}\n',
    ],
)
def test_a_file_with_several_phones_comes_in(
    acme: SimpleNamespace, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text.format(MOBILE, WORK, HOME))
    assert bring(file)[0] == 0
    assert dict(Contact.objects.values_list("phone", "name")) == {MOBILE: "Ann", WORK: "Bob"}


# What the answer says about the file


@pytest.mark.django_db
def test_what_was_guessed_is_told_by_the_api(acme: SimpleNamespace) -> None:
    text = f"Téléphone;Nom;Âge\n{MOBILE};Zoé;7\n".encode("cp1252")
    job = acme.api.send(text, "/api/v1/imports", content_type="text/csv").json()
    told = {name: job[name] for name in ("encoding", "delimiter", "header_line", "columns")}
    assert told == {
        "encoding": "cp1252", "delimiter": ";", "header_line": 1,
        "columns": {"Téléphone": "phone", "Nom": "last_name"},
    }  # fmt: skip
    assert job["column_list"] == [
        {"index": 0, "header": "Téléphone", "field": "phone"},
        {"index": 1, "header": "Nom", "field": "last_name"},
        {"index": 2, "header": "Âge", "field": None},
    ]
    assert json.dumps(job)


def test_of_repeated_headers_the_first_is_told_and_all_are_read() -> None:
    from contacts.models import Import

    listed = [
        {"index": 0, "header": "Phone", "field": "phone"},
        {"index": 1, "header": "Phone", "field": "tags"},
        {"index": 2, "header": "Town", "field": None},
    ]
    assert Import(options={"column_list": listed}).columns == {"Phone": "phone"}
    found = match(["Phone", "Phone (2)"], {}, rest_to_metadata=False, titles=["Phone", "Phone"])
    assert found.candidates == {"phone": ["Phone", "Phone (2)"]}
    assert known_field("Phone") == "phone"
