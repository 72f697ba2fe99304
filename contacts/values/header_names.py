"""The names that programs and people give to the columns of files of contacts.

The names are written as people write them; `words` makes them equal to other spellings. Languages:
English, German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian, Turkish, Arabic,
Hebrew, Hindi, Indonesian, Chinese and Japanese, and the most common names in Korean. Programs: the
exports of Shopify, WooCommerce, Wix, Squarespace, HubSpot, Pipedrive, Zoho, Salesforce, Klaviyo,
Mailchimp, Brevo, RapidPro, Chatwoot, Twenty, Google Contacts, Apple, Outlook and Facebook's lead
ads.
"""

import re
import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

MAX_HEADER = 100  # characters; a longer name of a column is not compared
MAX_NUMBER = 6  # digits of a name; `Home phone: +33145678901` is no name, but somebody's phone

# `firstName` are two words; `WhatsApp` and `iPhone` are one.
TWO_WORDS = re.compile(r"(?<=[a-z])(?<!Whats)(?<!\bi)(?=[A-Z])")
DOTLESS_I = "\N{LATIN SMALL LETTER DOTLESS I}"  # of Turkish, which many keyboards lack
WORD = re.compile(r"[^\W\d_]+|\d+")

Words = tuple[str, ...]


def words(name: str) -> Words:
    """The words and numbers of `name` in lower case, without accents: `E-Mail 1 - Value` becomes
    `("e", "mail", "1", "value")`.

    Empty for a name that is too long. Without this limit, a name of one letter with a million
    accents would take an hour, because Python sorts accents by insertion.
    """
    if len(name) > MAX_HEADER:
        return ()
    text = TWO_WORDS.sub(" ", name)
    if not text.isascii():
        letters = unicodedata.normalize("NFKD", text).replace(DOTLESS_I, "i")
        text = "".join(each for each in letters if not unicodedata.category(each).startswith("M"))
    return tuple(WORD.findall(text.casefold()))


def listed(*lines: str) -> frozenset[str]:
    """The names in `lines`, which commas separate, each without what separates its words."""
    return frozenset("".join(words(name)) for line in lines for name in line.split(","))


class PhoneKind(IntEnum):
    """The kind of phone that a column holds. The first kinds are tried first: people are written to
    on WhatsApp and on their mobiles."""

    WHATSAPP = 1
    MOBILE = 2
    UNNAMED = 3
    WORK = 4
    HOME = 5
    OTHER = 6
    NEVER = 7  # a fax, or the phone of somebody else


# A name of a column is a phone if it has one of these words, and only words that are listed below.
PHONE = {
    PhoneKind.WHATSAPP: listed(
        "WhatsApp, WhatsAppNumber, WhatsAppPhone, WhatsAppNummer, واتساب, واتس, الواتساب, ווטסאפ,"
        "וואטסאפ, व्हाट्सएप, व्हाट्सऐप",
    ),
    PhoneKind.MOBILE: listed(
        "mobile, mobiles, mobilephone, mobilenumber, mobilephonenumber, mobileno, cell, cellphone,"
        "cellphonenumber, cellnumber, cellular, cel, smartphone, sms, smsnumber,"
        "smsphone, msisdn, gsm, iphone",
        "Handy, Handynummer, Handynr, Mobil, Mobiltelefon, Mobiltelefonnummer, Mobilnummer,"
        "Mobilnr, Mobilfunk, Mobilfunknummer, Natel",
        "portable, móvil, celular, telemóvel, telemovel, cellulare, telefonino",
        "mobiel, mobieltje, mobielnummer, komórka, komórkowy, komórkowego",
        "мобильный, мобильного, мобильник, сотовый, сотового, моб",
        "ceptelefonu, ceptel, جوال, الجوال, الجوّال, محمول, المحمول, موبايل, الموبايل, النقال",
        "נייד, הנייד, סלולרי, मोबाइल, मोबाईल, ponsel, handphone, hp, nohp, seluler",
        "手机, 手机号, 手机号码, 手機, 手機號, 手機號碼, 移动电话, 行動電話, 行動, 移动",
        "携帯, 携帯電話, 携帯番号, 携帯電話番号, モバイル",
        "휴대폰, 휴대폰번호, 휴대전화, 휴대전화번호, 핸드폰, 핸드폰번호",
    ),
    PhoneKind.UNNAMED: listed(
        "phone, phones, phonenumber, phonenumbers, phoneno, telephone, telephonenumber, tel, telnr,"
        "telno, telnumber, tele, ph",
        "Telefon, Telefonnummer, Telefonnr, Rufnummer, Haupttelefon, teléfono, teléfonos,"
        "telefone, telefono, telefoon, hoofdtelefoon, telefoonnummer, telefoonnr,"
        "telefonu, fon, fone",
        "телефон, телефона, телефоны, тел, هاتف, الهاتف, تلفون, التلفون, تليفون, التليفون",
        "טלפון, הטלפון, फोन, फ़ोन, दूरभाष, telepon, telpon, telp, teleponnya",
        "电话, 电话号码, 联系电话, 電話, 電話號碼, 聯絡電話",
        "電話番号, お電話, お電話番号, 連絡先電話番号, 전화, 전화번호, 연락처",
    ),
    PhoneKind.WORK: listed("Geschäftstelefon, Diensttelefon, 工作电话, 勤務先電話番号"),
    PhoneKind.HOME: listed(
        "landline, landlinenumber, Festnetz, Festnetznummer, Privattelefon, fisso, 家庭电话,"
        "住宅电话, 住宅電話, 自宅電話, 自宅電話番号, 固定電話, 固定电话",
    ),
    PhoneKind.OTHER: listed("Autotelefon"),
}  # fmt: skip

PHONES: frozenset[str] = frozenset().union(*PHONE.values())

# Beside such a word, these words say the kind of the phone.
QUALIFIERS = {
    PhoneKind.WHATSAPP: listed("wa"),
    PhoneKind.MOBILE: listed("cep, mobiele, móveis, komórkowy, komórkowe, переносной, bergerak,"
        "genggam"),
    PhoneKind.UNNAMED: listed(
        "number, numbers, no, nr, num, n, nummer, numéro, número, numero, numer, номер, numarasi,"
        "numara, رقم, מספר, नंबर, नम्बर, संख्या, nomor, номера",
        "de, del, do, da, du, di, le, la, van, the, your, e, 164, urn, value, wert, valor, primary,"
        "main, preferred, billing, contact, contacts, person, people, customer, client, lead,"
        "subscriber, member, user, default, guest, buyer, patient, student, attendee, participant,"
        "applicant, donor, visitor, what, is, please, enter, required, optional, kontakt, kunde,"
        "kunden, hauptnummer, principal, contacto, contato, contatto, cliente, klant, klienta",
        "контактный, клиента, основной, podstawowy, główny, op, iletişim",
    ),
    PhoneKind.WORK: listed(
        "work, business, office, direct, geschäftlich, Geschäft, Arbeit, dienstlich, Büro",
        "bureau, travail, professionnel, pro, trabajo, oficina, laboral, trabalho, comercial",
        "lavoro, ufficio, werk, zakelijk, kantoor, praca, służbowy, рабочий, iş",
        "العمل, עבודה, בעבודה, कार्यालय, कार्य, kantor, kerja, 工作, 勤務先, 仕事, 職場",
    ),
    PhoneKind.HOME: listed(
        "home, private, personal, privat, fixe, maison, domicile, casa, fijo, particular, fixo,"
        "residencial, abitazione, thuis, vast, privé, dom, domowy, stacjonarny, домашний, дом, ev",
        "sabit, المنزل, בבית, בית, घर, rumah, 家庭, 住宅, 自宅",
    ),
    PhoneKind.OTHER: listed(
        "other, second, secondary, alternate, alternative, additional, car, radio, address,"
        "shipping, delivery, weiteres, weitere, andere, sonstige, autre, secondaire, otro, outro,"
        "altro, overig, ander, inny, другой, diğer, أخرى, אחר, अन्य, lain",
        "lainnya, 其他, 其它, その他",
    ),
}  # fmt: skip

# Words in the cell of a column such as `Phone 1 - Type`, which may be anything.
NEVER = listed(
    "fax, telefax, pager, beeper, assistant, emergency, company, telex, isdn, tty, tdd, callback,"
    "assistent, assistentin, firma, notfall, télécopie, télécopieur, urgence, emergencia,"
    "emergência, emergenza, noodgeval, faks, факс, فاكس, פקס, फैक्स, 传真, 傳真, ファックス",
)

# Columns with the ids of WhatsApp: phones with their country code, without the plus sign.
WHATSAPP_IDS = listed("urn whatsapp, whatsapp id, wa id")
# Whole names of columns that hold a phone although no word in them says so.
WHOLE_PHONES = {
    **dict.fromkeys(WHATSAPP_IDS, PhoneKind.WHATSAPP),
    **dict.fromkeys(listed("nomor wa, no wa, wa number, wa no, no hp wa"), PhoneKind.WHATSAPP),
    **dict.fromkeys(listed("contact number, contact no, contact numbers"), PhoneKind.OTHER),
    **dict.fromkeys(listed("primaryPhoneNumber"), PhoneKind.UNNAMED),
}

# Words that say who has a value, or which of several values it is. The names below are written
# without them.
OWNERS = listed(
    "contact, contacts, person, people, customer, client, lead, subscriber, member, billing, your,"
    "guest, buyer, patient, student, attendee, participant, applicant, donor, visitor, kontakt,"
    "kunde, kunden, cliente, contacto, contato, what, is, please, enter, required, optional",
)
NUMBERS = listed("1, 2, 3, 4, 5, 6, 7, 8, 9")
# `Direct mail` and `Mail address` are about letters.
OF_LETTERS = listed("direct, address, delivery, shipping")
PLACES = QUALIFIERS[PhoneKind.WORK] | QUALIFIERS[PhoneKind.HOME] | QUALIFIERS[PhoneKind.OTHER]
EMAIL_OWNERS = OWNERS | NUMBERS | (PLACES - OF_LETTERS) | listed(
    "value, wert, valor, primary, default, main, user, preferred, urn, primäre,"
    "sekundäre, haupt, principal, principale, primaria, primario, secundario, secundaria,"
    "secondaria, основной",
)  # fmt: skip
TAG_OWNERS = OWNERS | NUMBERS

NAME = listed(
    "name, full name, display name, name surname, first and last name, name and surname",
    "Vor- und Nachname, Vor und Nachname, vollständiger Name, Name Vorname, Vorname Name,"
    "Vorname Nachname, Nachname Vorname, ganzer Name, Kontaktname, Kundenname, Anzeigename",
    "nom complet, nom et prénom, prénom et nom, nom prénom, prénom nom, nom du client,"
    "nom du contact, nom et prénoms, nom affiché",
    "nombre completo, nombre y apellido, nombre y apellidos, nombre del cliente,"
    "nombre del contacto, apellidos y nombre, nome completo, nome e sobrenome, nome do cliente,"
    "nome do contato, nome e cognome, cognome e nome, nome cognome, nominativo, nome del cliente",
    "naam, volledige naam, voor- en achternaam, contactnaam, klantnaam, imię i nazwisko,"
    "nazwisko i imię, pełne imię, imię nazwisko, pełna nazwa",
    "ФИО, полное имя, имя и фамилия, имя фамилия, фамилия имя, фамилия имя отчество,"
    "имя клиента, имя контакта, отображаемое имя",
    "ad soyad, adi soyadi, adiniz soyadiniz, ad ve soyad, tam ad, isim soyisim, isim soyad,"
    "müşteri adi",
    "الاسم, اسم, الاسم الكامل, الإسم, الاسم بالكامل, اسم العميل, שם, שם מלא, השם המלא, שם לקוח",
    "नाम, पूरा नाम, ग्राहक का नाम, nama, nama lengkap, nama pelanggan, nama kontak",
    "姓名, 名称, 全名, 联系人, 客户姓名, 客户名称, 名稱, 聯絡人, 客戶姓名",
    "氏名, 名前, お名前, 姓名, フルネーム, 顧客名, 連絡先名, ご氏名, 이름, 성명, 성함, 고객명",
)
FIRST_NAME = listed(
    "first name, given name, forename, fname, name first name, prénom, prénoms, Vorname, Rufname",
    "nombre, nombres, primer nombre, nome, primeiro nome, nome próprio, nome di battesimo,"
    "voornaam, imię, имя, ad, adi, isim, الاسم الأول, الإسم الأول, שם פרטי",
    "पहला नाम, प्रथम नाम, nama depan, 名字, 名, ファーストネーム, 下の名前",
)
MIDDLE_NAME = listed(
    "middle name, middle names, additional name, weitere Vornamen, zweiter Vorname,"
    "deuxième prénom, autres prénoms, segundo nombre, nome do meio, segundo nome, secondo nome,"
    "tweede voornaam, middelste naam, drugie imię, отчество, ikinci ad, الاسم الأوسط, שם אמצעי,"
    "nama tengah",
)
LAST_NAME = listed(
    "last name, family name, surname, lname, name last name, nom, nom de famille",
    "Nachname, Familienname, Zuname",
    "apellido, apellidos, primer apellido, sobrenome, apelido, último nome, cognome, achternaam,"
    "familienaam, nazwisko, фамилия, soyad, soyadi, soyisim, اسم العائلة, اللقب, الاسم الأخير",
    "שם משפחה, अंतिम नाम, उपनाम, कुलनाम, nama belakang, nama keluarga, 姓, 姓氏, 苗字",
)

# In a German or Dutch file, a column `Name` beside one with the first name has the last name.
FIRST_NAMES_BESIDE_A_LAST_NAME = {"name": listed("Vorname"), "naam": listed("voornaam")}
# In these files the family name comes first.
FAMILY_NAME_FIRST = listed("姓, 姓氏, 苗字")

EMAIL = listed(
    "email, emails, e-mail, e mails, mail, email address, email addresses, email id, mailto,"
    "emails email",
    "E-Mail-Adresse, E-Mailadresse, Mailadresse, adresse e-mail, adresse mail, courriel,"
    "adresse électronique, adresse courriel, adresse de messagerie, mél",
    "correo, correo electrónico, dirección de correo, dirección de correo electrónico,"
    "dirección de email, endereço de e-mail, endereço de correio eletrônico, e-mail do cliente,"
    "correio eletrônico, correio eletrónico, indirizzo e-mail, indirizzo email, posta elettronica,"
    "indirizzo posta elettronica, indirizzo di posta elettronica, e-mailadres, mailadres",
    "adres e-mail, adres email, poczta, электронная почта, эл почта, почта, адрес электронной"
    " почты, адрес эл почты, емейл, имейл, емайл, e-posta, eposta, e-posta adresi",
    "البريد الإلكتروني, بريد إلكتروني, البريد الالكتروني, الايميل, الإيميل, ايميل, إيميل",
    "דואר אלקטרוני, אימייל, מייל, דוא״ל, דוא\"ל, כתובת מייל, ईमेल, ई-मेल, ईमेल पता, ईमेल आईडी",
    "surel, alamat email, 邮箱, 电子邮件, 电子邮件地址, 电子邮箱, 邮件, 邮箱地址, 电邮, 電子郵件,"
    "電子郵件地址, 電郵, 信箱, 電子信箱, メール, メールアドレス, eメール, 電子メール,"
    "電子メール アドレス, 이메일, 이메일 주소, 전자 메일, 전자 메일 주소",
)  # fmt: skip

TAGS = listed(
    "tag, tags, label, labels, group, groups, group membership, categories, tag names",
    "Schlagwort, Schlagwörter, Schlagworte, Stichworte, Stichwörter, Etikett, Etiketten, Gruppe,"
    "Gruppen, Kategorien, mots-clés, categorieën",
    "étiquette, étiquettes, groupe, groupes, catégories, libellés, etiqueta, etiquetas, grupo,"
    "grupos, categorías, categorias, marcadores, etichetta, etichette, gruppo, gruppi, categorie",
    "labels, groep, groepen, etykieta, etykiety, tagi, grupa, grupy, kategorie, тег, теги, метка,"
    "метки, группа, группы, категории, ярлыки, etiket, etiketler, grup, gruplar, kategoriler",
    "وسم, وسوم, الوسوم, علامات, العلامات, المجموعات, المجموعة, תג, תגים, תגית, תגיות, תוויות,"
    "קבוצה, קבוצות, टैग, लेबल, समूह, kelompok, label, kategori",
    "标签, 分组, 群组, 標籤, 群組, 分組, タグ, ラベル, グループ, 태그, 그룹",
)

LOCALE = listed(
    "locale, language, lang, preferred language, language code, Sprache, langue, langue préférée,"
    "idioma, lengua, idioma preferido, língua, lingua, taal, voorkeurstaal, język, язык",
    "dil, tercih edilen dil, اللغة, لغة, שפה, भाषा, bahasa, 语言, 語言, 言語, ロケール",
)

METADATA = listed("metadata")


# Such as `Phone (with country code)`. `Phone country code` is no phone.
REMARKS = [
    words(remark)
    for remark in (
        "with country code", "incl country code", "including country code", "with area code",
        "in international format", "international format", "mit Ländervorwahl", "con indicativo",
        "con código de país", "avec indicatif", "com DDD", "com DDI", "con prefisso",
    )
]  # fmt: skip

# A column `Phone 1 - Type` says the kind of the phone in `Phone 1 - Value`.
TYPE_WORDS = listed("type, label, kind, typ, art, tipo")
VALUE_WORDS = listed("value, number, nummer, wert, valor")
# A column `Primary Phone Calling Code` has the country code of `Primary Phone Number`.
CODE_WORDS = listed("calling, code, country, dial, dialing, dialling, prefix")


def phone_kind(name: str) -> PhoneKind | None:
    """The kind of phone that a column of this name holds; None if it holds none."""
    return kind_of_phone_words(words(name))


@lru_cache(1000)
def kind_of_phone_words(found: Words) -> PhoneKind | None:
    found = without_remark(found)
    if sum(len(word) for word in found if word.isdecimal()) > MAX_NUMBER:
        return None
    if whole := WHOLE_PHONES.get("".join(found)):
        return whole
    named, rest = kinds_in(found, PHONE)
    qualified, unknown = kinds_in(rest, QUALIFIERS)
    return best(named | qualified) if named and not unknown else None


def without_remark(found: Words) -> Words:
    """`found` without what tells people how to fill in a form."""
    for remark in REMARKS:
        if found[-len(remark) :] == remark:
            return found[: -len(remark)]
    return found


def kind_of_type(cell: str) -> PhoneKind | None:
    """The kind of phone that the cell of a column such as `Phone 1 - Type` says; None if the cell
    is blank, or too long to say a kind."""
    return None if len(cell) > MAX_HEADER else kind_of_short_type(cell)


@lru_cache(1000)
def kind_of_short_type(cell: str) -> PhoneKind | None:
    found = words(cell)
    if not NEVER.isdisjoint(found):
        return PhoneKind.NEVER
    named, rest = kinds_in(found, PHONE)
    qualified, unknown = kinds_in(rest, QUALIFIERS)
    kinds = named | qualified | ({PhoneKind.OTHER} if unknown else set())
    return best(kinds) if kinds else None


def kinds_in(
    found: Iterable[str], table: dict[PhoneKind, frozenset[str]]
) -> tuple[set[PhoneKind], list[str]]:
    """The kinds that the words in `found` name, and the words that `table` does not have."""
    kinds, rest = set(), []
    for word in found:
        those = {kind for kind, known in table.items() if word in known}
        kinds |= those
        if not those and not word.isdecimal():
            rest.append(word)
    return kinds, rest


def best(kinds: set[PhoneKind]) -> PhoneKind:
    """The first kind; `UNNAMED` only if there is no other: `Home phone number` is `HOME`."""
    return min(kinds - {PhoneKind.UNNAMED}, default=PhoneKind.UNNAMED)
