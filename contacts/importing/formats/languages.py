"""Words of names and towns in many languages, by which `code_pages` judges how a file reads.

Most words are from the name lists of Faker (MIT licence), chosen at random among the words with
letters outside of ASCII. To add a language, add a line of such words: about fifty suffice.
"""

# The words with the letters that the code page has: Romanian words have cedillas in cp1250.
WORDS = {
    "French": """
        Agnès Aimée Alizée Amélia Amélie André Aïcha Biélorussie Béguelin Bélanger Bérubé Cloé
        Clémentine Compère Corée Cécile Cédric Célestin Côte Côtes Côté Delèze Drôme Dubé Eloïse
        Eléa Eléna Eléonore Eugène Fréchette Gaël Giguère Gillièron Grégoire Géorgie Géraldine
        Honoré Inès Irène Ismaël Isère Jamaïque Laëtitia Lefèvre Leïla Lozère Loïc Léger Léna
        Léonie Léopold Lévêque Maëlys Micronésie Mélina Ménard Müller Noé Noémi Noémie Noëlle
        Nusslé Nüsslin Océane Príncipe Pérou Québec Raphaël René Rhône Rémi République Samuël
        Stéphan Sèvres Séverine Thérèse Timéo Trépanier Turkménistan Téo Vallée Vézina Zélande
        française Benoît Nîmes Lemaître Maître Brûlé Château Hôtel Prénom Téléphone Société
        Française Île Écosse Élise Éléonore Émirats États
    """,
    "German": """
        Austermühle Bersenbrück Björn Bremervörde Bär Bärer Bättig Böblingen Cláudia Cäcilie
        Frühwirth Föderation Förster Füssen Gaëlle Gföhl Glâne Grünberger Grüner Gänserndorf
        Gärtner Géraldine Göppingen Görlitz Gülsen Güstrow Hohenmölsen Häfliger Hämmerle Hänel
        Häusler Höfer Höfler Hölzenbecher Hölzl Hörl Hübel Jaël Jähn Jüterbog Kaltenböck Kälin
        Käthi Kössler Kühnert Lübz Lüthi Mäder Mörth Mürzzuschlag Nadège Noëlle Näf Nördliche
        Oberwälz Patrícia Pfäffikon Preiß Príncipe Pößneck Raphaël Röhrdanz Rörricht Rüegg
        Schmölln Schröder Schwäbisch Schär Schärding Schärer Schürch Schütz Solène Spörri Söding
        Sölzer Sömmerda Sönke Süleyman Tamás Thaddäus Tülay Türkan Ueckermünde Vohenstrauß
        Völkermarkt Vöslau Weissenböck Äthiopien Österreich
    """,
    "Spanish": """
        Amorós Antón Aníbal Arévalo Autónoma Azócar Barberá Barragán Bartolomé Benjamín Blázquez
        Briceño Briseño Buendía Bugueño Carreón Castaño Castrillón Cerdá Chacón Ciríaco Coruña
        Cáceres Cádiz Córdoba Dávila Efrén Espiridión Farías Flórez Garcés Girón Gálvez Gómez
        Hungría Japón Jazmín Jerónimo Jesús Jiménez José Juárez Larrañaga Leónidas Llabrés Luís
        Mariño Matías Mejía Michoacán Miró Márquez Máxima Mínguez Mónaco Negrón Noemí Nogués
        Néstor Olivé Omán Ossandón Oyarzún Oñate Panamá Perú Piñol Quirós Ramón Rodríguez
        Roselló Rosselló Sanmartín Sáenz Treviño Tórrez Urzúa Uzbekistán Vallés Villagómez
        Visitación Viñas Vásquez Víctor Yasmín África Águila Álvaro Ángel Áurea
    """,
    "Portuguese": """
        Albânia Alcobaça Alcácer Antárctida Aragão Argélia Arménia Austrália Benício Brandão
        Bélgica Cacém Camarões Canadá Ceará Colômbia Conceição Constança Covilhã Cuiabá César
        Dão Emília Eslováquia Eslovénia Eslovênia Estónia Estônia Etiópia Famalicão Faroé
        Finlândia Florianópolis Fundão Fátima Geórgia Goiás Gonçalo Gonçalves Gronelândia Grécia
        Guimarães Indonésia Irão José Kévim Leão Loulé Luís Líbia Lúcia Macapá Madagáscar Maitê
        Malávi Maranhão Mendonça Mongólia Mêda Mónica Namíbia Nigéria Núria Ourém Países Polónia
        Portimão Príncipe Quiribáti Quênia Roménia Salomé Suazilândia Sudão Suíça São
        Tajiquistão Tomé Turquemenistão Usbequistão Victória Vinícius Vítor Zelândia Zâmbia
        África Árabes Ângela Ângelo Évora
    """,
    "Italian": """
        60° Aberstückl Agliè Almagià Andrä_ Bellò Berrè Boldù Borzomì Canicattì Cantù Cassarà
        Cefalù Cirò Città Dallapé Donà Forlì Foà Giosuè Gossensaß Göflan Josè Libertà Lüsen
        Mondovì Mosè Mölten Mühlbach Mühlen Mühlen/Pfalzen Mühlen/Truden Mühlwald Münstertal
        Nardò Niccolò Nicolò Noè Overì Pantù Pedroß Piandiscò Prösels Salò Segrè Söll Tanürz
        Tschöfs Tschötsch Tschövas Töll Università Vervò Villnöß Völlan Völs Völser Vöran
        Weißenbach Weißenbach/Sarntal Weißenstein
    """,
    "Dutch": """
        Agnès Anaïs André Arriën Aurélie Biercée Blégny Bléharies Boignée Bosnië Broeksterwâld
        Bruyère Buissière Béguines Bökenkamp Chloë Château Châtelet Crisnée Cécile Delà Denée
        Dréhance Ethiopië Faeröer Feanwâlden Forrières Forêt Françoise Frédéric Gelbressée
        Georgië Gomezée Grâce Hannêche Harzé Hélène Hélécine Hérinnes Héron Hévillers Indonesië
        Irène Israël José Josée Joëlle Laforêt Limerlé Lorcé Loïs Léger Léglise Mabompré
        Maisières Maleisië Malèves Moignelée Morialmé Médard Mévergnies Namibië Niverlée Noëlla
        Néchin Piétrebais Péruwelz Quiévrain Renée Roemenië Rosière Samrée Sauvenière Schönberg
        Somalië Somzée Suarlée Suwâld Sélange Thiméon Thérèse Tomé Tsjechië Valère Vonêche
        Warzée Yernée l'Escaillère Åland Ömer
    """,
    "Swedish": """
        André Bergström Björk Björkman Borlänge Borås Boström Bäck Bäckström Börjesson
        Caicosöarna Caymanöarna Cooköarna Dahlström Eklöf Ekström Engström Futunaöarna Färöarna
        Förenade Grönlund Gävle Göransson Götalands Hagström Hedström Holmström Håkan Håkansson
        Ingegärd José Jungfruöarna Jönköpings Karlström Lidingö Lidström Lindström Linköping
        Lundström Löf Lönn Marshallöarna Midwayöarna Märta Mårten Möller Nederländerna
        Nederländska Norfolkön Norén Nylén Nyström Näslund Pitcairnöarna Príncipe Réunion
        Sjöblom Sjödin Sjögren Sjöholm Sjöström Skellefteå Skåne Ström Strömberg São Söderman
        Södermanlands Sören Therése Tomé Vikström Västernorrlands Västerås Västra Växjö län
        Åberg Åkerman Åsberg Åse Åslund Öberg Örebro Örjan Örnsköldsvik Östberg Östergötlands
        Östling Östlund
    """,
    "Danish": """
        Birkerød Bogø Bækmarksbro Daugård Espergærde Frederiksværk Frørup Fårvang Færøerne
        Føvling Gråsten Græsted Grønland Gørding Gørlev Harboøre Hjortshøj Hjørring Hornbæk
        Humlebæk Hvalsø Højbjerg Højby Højslev Høng Hørning Hørsholm Hørve Jægerspris Jørgen
        Karrebæksminde Korsør Kvistgård København Låsby Lærke Løgstør Løsning Mørkøv Nexø
        Nykøbing Nærum Nørgaard Nørreballe Oksbøl Randbøl René Rudkøbing Rumænien Rødby Rødding
        Rødovre Rønde Salomonøerne Samsø Sejerø Sjælland Sjællands Sjølund Skævinge Skørping
        Sorø Stenløse Strøby Stubbekøbing Svebølle Såby Sønderborg Søndersø Sørine Tjæreborg
        Tårs Tølløse Tørring Ugerløse Vedbæk Vesløs Væggerløse Åbjørn Åbyhøj Årslev Ærø Ølgod
        Ølsted Ørnhøj Ørsted Øst Østbirk Øvli Øystein
    """,
    "Finnish": """
        Alajärvi Azerbaidžan Finström Hausjärvi Hautamäki Heikkilä Helinä Holmström Hytönen
        Hyvärinen Häme Hänninen Härkönen Isokyrö Itä Jämijärvi Jäntti Järvelä Järvinen
        Jääskeläinen Kambodža Keinänen Kemijärvi Kittilä Kivijärvi Kivimäki Kokemäki Korsnäs
        Kämäräinen Kärki Kärsämäki Lappajärvi Lehtimäki Lempäälä Lepistö Lestijärvi Lähteenmäki
        Meriläinen Miehikkälä Mynämäki Mäenpää Mäkelä Mäki Mäkinen Männistö Mänttä Niemelä
        Nurmijärvi Närpiö Oripää Penttilä Petäjävesi Pitkänen Polvijärvi Príncipe Pyhtää Pyhäntä
        Pyhäranta Päijät Päivi Päivikki Reisjärvi Riihimäki Ryynänen Räty Rääkkylä Seinäjoki
        Seppä Sillanpää Sipilä Sirviö Sirén Sjöblom Sonkajärvi Syrjälä Sysmä Tyrnävä Tähtinen
        Tšad Tšekki Utajärvi Venäjä Venäläinen Väinö Väisänen Välimäki Vöyri Ylönen Yrjö
        Äänekoski
    """,
    "Icelandic": """
        Aðalgeirs Aþena Benónís Bernharður Bjarnharður Björnólfur Brák Bárðs Daníels Davíðs
        Egedía Elímar Elírós Eyvör Eyþórs Eðvalds Franklín Friðlaug Friðsemd Fólkis Gamalíels
        Geirþjófur Glóis Guðbergs Guðmunds Guðríður Gíslis Gíta Heilmóðs Henríetta Hermóðs
        Himinbjörg Hjálmfríður Hjálmrós Hjörtur Húmi Jón Jóvins Jörgen Jörvar Júlírós Ketilríður
        Kristjóns Kristíana Kristína Kristþór Lingný Minný Máney Mýra Patrisía Pálmar Ragúel
        Ríkey Róbert Rósmary Röfn Rúnars Sebastíans Sigurbára Sigurásta Snælaugur Sævar Sól
        Sölmundur Tryggvína Valgerða Valgerður Vigtýr Vésteinn Víðar Álfs Ásberg Áslaugs Ást
        Ástráðs Ísak Ísveig Ólivers Ögmunda Örlygur Úlriks Þengill Þjóðann Þorkatla Þorlaugur
        Þorleikur Þórar Þórgrímur Þórsteinunn
    """,
    "Polish": """
        Barański Bieleń Bruś Brzeźniak Błądek Ciemięga Cofała Drygała Dziób Dąbrowa Ełk Gadzała
        Gdański Goleniów Gołota Góraj Jamroży Janduła Jastrzębie Jastrzębski Jałowiec Jaśkowiec
        Jędrasiak Jędraszczyk Jędruch Kiełek Kopyść Kozłowicz Kołodziejak Kołodziejczyk Kołsut
        Kościk Kośka Księżyk Kudełka Kłodzko Kłosowicz Lizoń Małż Mizgała Mućka Męcik Młotek
        Młyńczak Nagórka Niedośpiał Oświęcim Pabiś Paleń Pastuła Piaścik Pizoń Piórek Pochroń
        Proć Płócienniczak Sadłocha Sołoducha Stanisławczyk Szkoła Sładek Słowiak Uziębło
        Wichłacz Wieluń Wielądek Wikło Wlaźlak Wlizło Wołoszczuk Włocławek Zaraś Zioła
        Ziółkowski Zięciak Ziętal Związek Łabno Łachut Ładziak Łaś Łuszczyk Łódzkie Śląski Śrem
        Świerad Żabka Żory Żołądź Żywiec
    """,
    "Czech": """
        Albánie Anděla Andělská Arménie Austrálie Bedřich Bezdězem Blažková Brožová Bureš
        Bystřice Bílková Bělohrad Chropyně Dominikánská Dušan Eliška Hané Holubová Hoštka
        Hrochův Hustopeče Hájková Ivančice Janské Jindřich Jiříkov Jonáš Ján Kašparová Kdyně
        Knín Kovář Kovářová Košťany Kryštof Králové Krásná Kyrgyzstán Křížová Libušín Libčice
        Luděk Lučany Macháček Malá Markéta Matoušek Matoušková Mauritánie Meziměstí Miloš Mladá
        Místek Mýto Nigérie Novák Němcová Pavlíková Podbořany Polná Polák Protivín Stárkov
        Stříbro Svatá Svatý Svobodová Sýkora Tichý Tomanová Touškov Třebechovice Tůma Veselá
        Vodňany Vožice Vítková Zlín Zlínský americké Írán Ústecký Čech Černošín České Šluknov
        Štěpánek Židlochovice Žirovnice
    """,
    "Slovak": """
        Americké Arábia Bartošík Bednárová Blažejová Bočiar Brzotín Chmiňany Chotár Chrámec
        Cibulová Cigáňová Drahomír Dušeková Dúbrava Dúbravka Gocník Grňová Gálová Halák Husiná
        Hájske Jakubík Jakúbeková Jarabá Jaslovské Kapverdská Kollár Konrád Kosorín Kotulič
        Kraľovany Kristína Krásnohorská Kubecová Kysucký Lastomír Levkuška Ležiachov Lipové
        Liptovské Lopúchov Lovčice Lukša Lúžna Majeská Markuš Mauréryová Medveď Menšík
        Michalíková Mužla Námestovo Opátka Palovčík Partizánske Paulíková Pekľany Pisaná
        Pohronská Pribeník Príslop Ratkovské Ripňany Romančíková Rybár Severomacedónska
        Skerešovo Strehová Tirpák Tobiáš Vajdová Valaská Vinné Vlčkovce Vozárová Vyšná Zubeková
        Záborská Čabiny Černíková Čirč Čičava Ďurkov Ľubomír Ľupča Škoviera Šmigovec Štefunková
        Žbince
    """,
    "Hungarian": """
        Adrián Afganisztán András Annamária Antillák Argentína Arábia Ausztrália Balázs Bendegúz
        Bhután Bodnár Boglárka Borbála Borbély Bálint Béla Csehország Csád Dávid Déli Dóra
        Elemér Fehéroroszország Feröer Franciaország Fábián Fülöp Ghána Gibraltár Gréta Grúzia
        Gusztáv Györgyi Győr Gábor Gál Gáspár Halász Hegedűs Horvátország Illés Indonézia Irán
        Jolán Jordánia Juhász János Jónás József Júlia Kazahsztán Királyság Kornél Kovács
        Kristóf Krisztián Köztársaság Lengyelország Lettország Litvánia Líbia Magyarország
        Mexikó Málta Nigéria Norvégia Noémi Németország Nóra Omán Orbán Pakisztán Polinézia
        Príncipe Rácz Rózsa Soós Szenegál Szlovénia Szomália Terézia Terület Törökország Tünde
        Zsófia Ádám Ákos Északi és
    """,
    "Romanian": """
        Alexandriţa Ancuţa Andreiţa Anişoara Anuţa Aristiţa Bacău Bistriţa Botoşani Brânduşa
        Brânză Brăduţ Brătianu Bucureşti Buşteni Bârlad Băileşti Bălan Bănel Bănică Bărbulescu
        Caraş Ciobanu Codruţ Codruţa Constanţa Costăchescu Craiţa Crişan Călin Căpăţână Cătălina
        Drăgan Dumitraşcu Dâmboviţa Dănilă Eustaţiu Florenţa Făgăraş Galaţi Genţiana Georgică
        Gheorghiţă Ghiţă Gică Graţiela Grigoraş Horaţiu Ialomiţa Iaşi Ionaşcu Ionică Ioniţă
        Lascăr Laurenţiu Lazăr Letiţia Lică Lucenţiu Lucreţia Lucreţiu Luminiţa Lupaşcu
        Lăcrămioara Mehedinţi Mihăilă Mitică Moraru Mureş Mădălina Măgurele Mălina Măriuca
        Mărăşeşti Nataşa Neamţ Nemeş Nicoară Niculiţă Nicuşor Nicuţă Niţă Năsăud Oneşti Paşcani
        Petrică Petrişor Petruţ Piteşti Pleşu Ploieşti Puşcaş Puşcaşu Pătru Păun Rareş Roşiori
        Râmnicu Răducu Rădulescu Răzvan Sinică Speranţa Stănescu Sălaj Săvescu Tincuţa Tudoraş
        Târgu Vasilică Vicenţia Vicenţiu Vincenţiu Vlădelina Voichiţa Vâlcea Văcărescu Şandru
        Şerban Ştefan Ştefana Ştefania Ştefănescu Ţepeş Ţepuş Ţurcanu Ţîrlea
    """,
    "Croatian": """
        Amanović Američki Antonić Anđela Barbić Barić Bertoša Bijelić Birkić Birtić Blažičko
        Božanović Božiković Božo Bradić Bunčić Cestarić Crneković Cvenić Cvetković Dončević
        Ercegović Fabijanić Filipović Franušić Garešnica Horvatić Ivanović Ivančan Ivšić Jaković
        Jakovljević Jakuš Josipović Joško Juretić Jurić Karlović Keleković Kelečić Knezović
        Komljenović Kosanović Koški Kršanac Krželj Kuveždić Kuzmić Lešić Majdenić Mamić Maretić
        Marinković Markuš Martinović Maćešić Merkaš Mihelčić Mihić Miličić Mustač Našice Nišević
        Pavlović Príncipe Radović Rajčić Rašić Rubeša Ružica Srednjoafrička Starčević Stražičić
        Terzić Tomić Tudić križevačka Ćurić Čizmić Čižmešija Čulina Đorđe Šeparović Šimić
        Španjolska Špika Špralja Žabjačan Željko Žužić
    """,
    "Slovene": """
        Aljaž Ambrožič Anže Azerbajdžan Babič Blažič Boštjan Božič Demokratična Dolinšek Država
        Dušan Fidži Goriška Grčija Hodžić Hočevar Jerič Jovanović Jožef Jožefa Jožica Južna
        Klemenčič Kocjančič Kolarič Korošec Koroška Koroškem Koželj Križ Krško Laoška Lavrič
        Laško Lešnik Madžarska Maruša Matjaž Maša Mengeš Miloš Nataša Neža Norveška Ormož Pavlič
        Petrovič Pintarič Popović Potočnik Primožič Ramšak Rožič Rožman Slonokoščena Sušnik
        Tavčar Togoška Tomaž Turnišče Uroš Urša Urška Vidovič Združene Združeni Zemljič Zupančič
        kraška ribič Čad Čeh Črnomelj Čuk Šoštanj Španija Štefka Štrukelj Šuštar Švedska Švica
        Žagar Žalec Žan Železniki Žibert Živa Žižek žagar
    """,
    "Russian": """
        Агафонова Андроник Анна Аргаяш Асбест Аскольд Блинов Варфоломей Владлен Грузия Дроздова
        Егоров Елизар Ермолай Ершова Журавлева Залесский Иванова Ильин Кабо Кажим Казахстан
        Камчатский Карачаевск Лазарева Лазарь Лора Любовь Магас Макар Малоярославец Меркушев
        Мирный Муравленко Назар Назрань Носков Оксана Олимпиада Остап Осташков Панов Панова Петр
        Петухова Пинега Подольск Пятигорск Родион Савватий Сидор Сидоров Сильвестр Симонов
        Соловьева Степан Суринам Сьерра Тарасова Терентьева Тетерин Тимофей Туапсе Ульян Филатов
        Хасан Эдуард Эрнест Эрнст Ямбург
    """,
    "Ukrainian": """
        Єлисавета Іващенко Ірина Ада Акименко Альберт Альбіна Бабич Бабко Барбадос Батуринець
        Бердичів Бразилія Буда Буркіна Буськ Василь Володимира Вірменія Гаєвський Данна Дараган
        Демид Долина Дубляни Жук Журба Західна Заєць Золотоноша Кибкало Кіцмань Лебедин Макар
        Макіївка Мальта Миколай Михайло Нововолинськ Новодружеськ Оман Онисим Оробець Остер
        Палау Пармен Перемишляни Переяслав Роксолана Сергій Сокологірськ Супруненко Татарбунари
        Твердохліб Терещенко Того Тягнибок Узин Україна Уругвай Фастів Царенко
        Центральноафриканська Цимбалюк Чехія Чоп Южне Якименко Яремко Яремче
    """,
    "Bulgarian": """
        Аглоида Албина Аница Арсена Берин Бойко Бориска Бумов Вечко Вилизар Вихрони Въца Гергей
        Гертруда Гецо Гьоков Зенгинов Златил Златослав Илиева Инеса Йоан Йоко Карен Карина
        Касиди Кино Колчо Комнин Лальо Латьо Леандър Левент Леко Лулчо Мариоллита Мила Момера
        Настимир Олег Паломина Пеева Пейчо Персиана Петиконгрес Петинка Площаков Розана Ромео
        Сергелинка Скринска Теодосий Томас Топков Тотю Филип Филипини Фотинка Фреди Фьодор
        Харитон Хебър Хинко Шехерезада Шинка Щедрин Щефания Юстианна Ян Ярно
    """,
    "Macedonian": """
        Ѓорги Јасмина Јемен Јован Јовчев Југозападен Алжир Антигва Апостолов Арапски Атанас
        Бахреин Берово Бисао Валандово Велјанова Весна Габон Гајана Горан Гордана Дамјановски
        Дарија Египет Емил Жарко Зафировска Игор Индија Камбоџа Кипар Конго Куба Лазова Латвија
        Либија Марија Мексико Методи Мусијановски Намибија Науру Невис Неготино Николе Николова
        Нов Нова Обединети Обединето Парагвај Поповска Прилеп Ристовски Русија Самоа Сара Сашо
        Света Сејшели Симона Спасова Стојановска Тетово Трајковски Тувалу Тунис Чад Чешка
        д'Ивоар
    """,
    "Greek": """
        Αγγελάκος Αλεξόπουλος Βασιλειάδη Βαχουθιανάκης Βιολάτος Βυζιηνού Γαβριδάκης Γεώργιος
        Γρεβενάρης Δομήνικος Δουλγεράκη Ζαφειρία Ζαχαρένια Ηλέκτρα Ιάσονας Ισίδωρος Κιτινός
        Κονδυλίδης Κορωνίδου Κουτκιά Κουτσιουμάρη Κουτσουρέλης Κουτσούρας Κυμπάρης Κυράτσα
        Λευκάδα Μάρκος Μαλδίβες Μανουσέλης Ματίνα Μαυροπούλου Μερκούριος Μιλτιάδης Μπλανάς
        Μωραΐτη Νάντσου Ναμίμπια Νικολαΐδης Ορφανάκης Πίσσιος Παναγής Παναγιωτακόπουλος Παντελία
        Παπαγιαννακόπουλος Παπαδημητριάδης Παπανώτα Παππά Πιάγκος Πολέμη Προκόπιος Ρέντζος
        Ροδάνθη Ρόκας Ρόκκα Σαμτανίδου Σεβαστού Σλοβενία Σολομώντα Σουλιντζής Τιμόθεος
        Τουρναβίτης Τσικνιάς Υβόννη Φερόες Φιλιάγκου Φωτεινή Χαλκίδα Χιτός Χριστιάνα
        Χριστογιάννη
    """,
    "Turkish": """
        Altoğan Andiç Aycagül Aydınbey Aynımah Ayülker Açılay Aşir Ballı Bağdaş Bilgütay Bitül
        Büşranur Dağistan Değer Dilşat Doğanşah Doğuhan Dumanlı Döner Ecegül Emirşan Erinçer
        Erseç Esentürk Eşim Görsev Gülfari Gülsevil Gündüzalp Günsel Güçal Hurşide Hürmet
        Koncagül Koçkan Kösemen Kürşad Manço Möhsim Müferrih Müjde Münif Müğber Nurşan Oğulbaş
        Selçuk Sümeyye Tandoğdu Taşar Toköz Tükelalp Tümkurt Yankı Yetişal Yıldırım Yıldız Züfer
        Çalım Çapkan Çıdal Öktürk Övün Özertem Öztürk Ülküdeş Ünal Ünek Ünsever Ürfettin
        İhsanoğlu İlalmış İlbek İlkbahar İlkim İlsu İlteriş İntihap İsak İyiyürek İçimbike
        Şahdiye Şahmettin Şamiha Şefiye Şekim Şelâle Şevket Şuayp Şöhret
    """,
    "Hebrew": """
        אבו אברגל אדיר אדלר אוחנה אורה אורין אחיה איהאם איי איפרגן אלין אליס אליעזר אלמוג אלרואי
        אנדורה אסדי אסיל אפשטיין ברכה ג'נא גינאה דהאן הדס הייב העוגן הצרפתית הקטנים והרצגובינה
        וטובגו זהב זילנד זינב חורי חנוך יוגב יולי יותם יעקובוב יפן יפתח יששכר כ"ח כרמל לוסיה
        לורן ליבריה לינוי מחאג'נה נאסר נהוראי ניגריה ניר סאלם סיון סן סער סרור עילאי פוקס פנחס
        צופיה קומורו רובייעה רני שבת שהד שושן תיא
    """,
    "Arabic": """
        آل أبوظبي أرنات أسيل أفنان إلياس الأنصاري الحويطات الخالدي الراويون الرّزاق السادة
        الشايع الظفير العسلي العيد المشاولة المهيدب الوسطى الوعري الونزة بركاني بوبكر بوحنيفية
        جذام جوانا جوين حامد حكيم حيّان دربال دمشق رضا ريتال ريفال زاكي زريبة ساطع سالمي سدراتة
        سنام سومية سيلين شبيب شريف شعبان صدقي عتاب عتيبة عرفان عنابة فراهيد قضاعة قيس كوثر لاما
        لطفي مصطفى مفيد منيع مُنير ناجح نبيل نضال نهد ودود وضّاح وفيق وهبة يانع
    """,
    "Persian": """
        آراد آرتين آيلين آيناز ابوالفضل احسان اسما اصفهان افغانستان اكبر النا اميرحسين اميرعباس
        اميرمحمد اميرمهدي اوگاندا اکوادور باربادوس بنيامين بوتسوانا توباگو تونگا تووالو حسام
        رسته رها رودگر ريحانه زاده زينب سائوتومه سارا سماوات سمنان سودان علي غنا فاطمياسارينا
        لرستان لهستان مارشال مازندران مبين مبينا متحده متين مجارستان محجوب محدثه محمد محمدامين
        محمدحسين محمدرضا محمدعلي محمدياسين معصومه مهديس مهسا نامور نپال هانيه هليا وانواتو
        ونزوئلا پاکستان کامبوج کره کيانا گلستان گواتمالا
    """,
    "Lithuanian": """
        Agnė Arielė Artūras Arūnas Aurėja Austėja Aušra Aušrinė Butkevičius Dovilė Eglė Eidvilė
        Gabrielė Gaičiūnas Gaižauskas Giedrė Gintarė Gytė Ignė Indrė Izabelė Jankauskienė
        Jokūbas Jorūnė Jūratė Kalvėnas Kazlauskienė Kiška Klaipėda Kėdainiai Kęstutis Lėja Mantė
        Marijampolė Mažeikiai Medėja Miglė Narušis Nausėda Panevėžys Paulauskaitė Petrauskienė
        Plungė Poška Radvilė Ramunė Ramūnas Rimantė Ričardas Rugilė Rusnė Rytė Rūta Smiltė
        Stankevičius Tauragė Telšiai Ugnė Ukmergė Vakarė Vasarė Viltė Vytautė Vytė Vėjūnė
        Ąžuolas Česlovas Įsrutis Šarūnas Šiauliai Šilutė Šimkus Ūla Žemaitis Žemyna Živilė
        Žukauskas Žygimantas
    """,
    "Latvian": """
        Alfrēds Alvīne Alīda Amālija Apsīte Artūrs Arvīds Auniņa Auniņš Avotiņš Bērends Bērziņa
        Cīrule Cīrulis Dāvis Dūmiņš Edvīns Eglīte Elvīra Emīls Helēna Ilmārs Indriķis Ingrīda
        Ināra Irēna Jānis Jēkabs Jūle Jūlija Jūrmala Kalniņš Kalējs Kauliņš Kaņepa Kaņeps
        Krastiņš Krieviņa Krieviņš Kristiāna Krišjānis Krišs Krūmiņa Krūmiņš Krūze Kundziņa
        Kundziņš Kārkliņš Kļaviņa Kļaviņš Lavīze Leontīne Liepāja Lukstiņš Lācis Lība Līga
        Lūcija Lūse Māra Mārtiņš Otīlija Paulīna Puriņa Puriņš Pērkona Regīna Rozītis Rudzītis
        Rīga Skaidrīte Sproģe Staņislavs Trīne Turiņa Turiņš Valentīna Vilciņa Vilciņš Viļums
        Zaķe Zeltiņa Ābele Ābols Ādams Ādolfs Ārija Ērika Ģederts Žanis
    """,
    "Estonian": """
        Aasmäe Bõstrov Davõdov Gontšarov Härm Jeršov Jänes Järv Järve Jõe Jõesaar Jõgeva Jõgi
        Jõhvi Jürgens Jürgenson Jüri Jürisson Kesküla Kivimäe Krõlov Kärner Käsper Käär Käärik
        Kõiv Kütt Liivamägi Lätt Lääne Lääts Lõhmus Malõšev Mäe Mäeots Mäesalu Mägi Mänd Mändla
        Männik Männiste Mõttus Mölder Mürk Müür Müürsepp Nadežda Nõmm Nõmme Nõmmik Pärn Pärna
        Pärnpuu Pärnu Pärtel Põder Põdra Põld Põldma Põldmaa Põllu Põlva Püvi Rätsep Rüütel
        Salumäe Sillamäe Säde Sööt Täht Tõnisson Tõnu Vähi Väli Võru Võsu Õispuu Õun Õunapuu
        Ülle Ševtšenko Štšerbakov Žukov Žuravljov
    """,
    "Vietnamese": """
        Biên Bình Bùi Bảo Bắc Bằng Châu Chí Cà Cường Cần Duyên Dũng Dương Hiền Hoàng Huế Huỳnh
        Hà Hòa Hóa Hùng Hưng Hương Hạnh Hải Hằng Hồ Hồng Hữu Khánh Kiên Liên Lào Lâm Lê Lý Lạng
        Lạt Lắk Lộc Mạnh Mỹ Nghệ Nguyên Nguyễn Ngãi Ngô Ngọc Nhiên Nhơn Nhật Nẵng Nội Phòng Phú
        Phúc Phương Phạm Quý Quảng Quốc Sơn Thành Thái Tháp Thơ Thảo Thị Thọ Thủy Tiến Trí
        Trường Trần Trị Trọng Tuyên Tuấn Tàu Tâm Tây Tùng Tú Tĩnh Việt Vân Võ Văn Vĩnh Vũ Vũng
        Xuân Yên Yến Ánh Điện Đà Đông Đắk Đặng Định Đồng Đỗ Đức
    """,
}

# Common characters of names and towns; the first ones are the most common.
CHARACTERS = {
    "Japanese": (
        "あいおかきくさすつとのみゆよりる々前番氏佐藤鈴木高橋渡辺伊中村小林加吉田山本斎松井上清水"
        "崎森池阿部石川岡後長谷近坂遠青福西太三原金和久真美子郎一二健花翔陽結大京北道神戸横浜屋台"
        "広島知千葉馬新宮市区町うえけこしせそたちてなにぬねはひふへほまむめもやられろわをん名住所"
        "電話号携帯姓会社様竹理恵咲優蓮葵愛阪都海札幌古仙埼玉兵庫静茨城栃群岐阜潟沖縄県丁目ンアル"
        "ースリライトカマウナジシタニ国ドバクモコ郡オサキフミダチ共ロエガ諸ケブ東グビベ南ツヤレワ"
        "セギュハ野ィノェネムメ領多ャテ生ズヨデ香ゴボパ沢摩ユプ八印武日ョソヒ平里ザ浦ァ浅草旛津白"
        "芝港門ヘピッポ公羽ヶ立土蔵取代明直樹裕下ヴ連邦ォペ園内九六塚場四外宿富江折虎介奈也治洋人"
        "ゼ合衆王極民輪宅央来丸入丈街弥房赤栄府間夷隅御安光幸手柿泉瀬筑鶴家湯睦細脚豊七夏助亮修充"
        "学幹康弘拓春晃智桃浩涼淳綾実稔篤司衣翼聡舞英佳零織口斉首地域びヌ自ホ主筋鷹桜宇世依祠鉢Ｊ"
        "Ｐ丹勢段室五味今元利勝ど匝瑳束総陸郷卯埜酒湾有離君吾妻品"
    ),
    "Chinese": (
        "地城市公张杨黄徐高林何马罗梁郑韩冯于萧傅沈苏卢丁魏余夏汪任石金白毛江侯孟龙万雷汤黎武乔文"
        "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂建华国红梅玉兰春海波宇浩欣北京上广州天津重"
        "庆杭成都西安南门岛沙宁省区路姓名电话手机号码址邮箱备注司客户联系人王李刘陈赵周吴孙胡朱郭"
        "宋谢唐董程曹袁邓许曾彭吕蒋蔡贾薛叶阎潘杜戴钟田姜范方姚谭廖邹熊陆郝孔崔康邱秦史顾邵段钱尹"
        "易常贺赖龚轩子涵怡梓深圳汉青县街亚斯尼尔克巴拉利加群特里和阿山比多东哥圣阳吉维塞新坦达内"
        "大纳瓦布科丹乌哈那鲁摩云伊萨圭自治长川威法港珍荣淑瑞古普桑浦米索蒙隆齐中兴几士牙湖瓜合埃"
        "河福凤婷柳花香燕关劳印富麦别美列伯俄六拿塔森立提曼托及基德日迪洛格属清澳行辽凯博峰帅雪丰"
        "冶危原呼宾干庄惠慕戈房支时智来欧洪班甘皮盘荆莫赫辛郎银闵陶韦鲜共非兹得佛冈绍其夫溪卡度厄"
        "台湾滨喀图土耳密诺族道家济疆陀朝陵永黑政爱约荷贵亮佳俊倩健兵冬坤小岩帆彬志想慧斌旭晨晶芝"
        "楠欢洁玲琳琴瑜璐畅莉莹萍辉鑫颖飞鹏丛严乐亓井亢仇仝仲伍伏但位佘佟俞信修倪储元党全冀冉农况"
    ),
    "Taiwanese": (
        "地信公林張李吳劉楊洪曾廖賴周徐蘇葉呂江何羅高潘簡朱彭游施沈余盧梁柯孫戴范方宋杜傅侯曹丁卓"
        "馬金美麗淑惠雅玲怡君家豪志明俊傑建宏文雄英華秀珍婷芳宗翰冠宇承恩品妍臺台北中南新竹基隆嘉"
        "義東宜蘭花蓮雲路段香港龍姓名電話手機號碼址城市箱備註司客戶聯絡人陳黃王蔡許鄭謝郭邱莊蕭鍾"
        "詹胡趙顏翁魏鄧薛董石桃園屏彰化投苗栗縣區鄉鎮街樓九亞利尼國斯拉西玉加爾巴多子里克及哥阿維"
        "珠大達廷柏素山睿威德梅鳳安塞島牙比瑞索那銘慧娟琴彤丹和貝內烏門聖佳賢霖翔妤哲榮晴宥成忠正"
        "月永卿碧菲苡進古白魯麥瓦圭布納法沙摩洛波群世昌良瑋宸涵蓁興章欣武芬貞霞秋語靜史喬姜孟康歐"
        "陽田蒲辛連關陸韓黎非共俄保埃剛果拿斗其托卡印厄瓜濟喀坦尚米太平日紐幾希愛格伯玻海澳森科薩"
        "蘆曼仁佩珊穎蓉佑男凱勝博婉軒憲庭辰寶彥心偉強誠遠鴻思萱碩政彬欽祥輝春娥諺敏玥禹枝羽聰芯芸"
        "詠詩發財郁鈺筑萍雯雨霏雪丘于任伍佘俞倪全凌包向唐單嚴塗夏姚孔官尤尹岳崔左巫常應房易曲柳樊"
        "殷毛池汪涂湯溫熊牛"
    ),
    "Korean": (
        "이름성명전화호대주소메일사고김박최정강조윤장임한오서신권황안송류홍문양손배백허유남심노하"
        "곽차우구민진지나엄채원천방공현여도석선마길연위기왕금옥인제모국은용예경봉부가태준시수빈아"
        "영희철숙미자순상재동혁훈승환울산광세종충북라포창청릉속초춘평택의파군리로번휴폰회객함변염"
        "추설표반육맹탁어편복규항읍면스니르바트비카키레탄루네드크티베에보다타코역프투특별과말단란"
        "디중치그웨토브팔당몰엘벨페슬흥식혜덕테논뉴질랜덴두잠몬골데즈체츠와룬케갈통랑온만알앙피콩"
        "쿠튀핀건병람웅후감계룡괴덜독해러룩셈완히텐슈셜멕셔몽얀누글냉령헤볼불삼척린분셸센딘솔달싱"
        "랍헨잔록앤콰살월멘요처간음집탈본적증짐칠흐캄캐냐콜롬발푸폴필헝횡"
    ),
}
