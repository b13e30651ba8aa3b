"""
What people take for a secret when they should draw one: words, rows of keys, and published examples.
"""

from __future__ import annotations

from typing import Final

_TEXT: Final = """
able about above access accesskey account active adipiscing admin administrator after again against air alice all
alpha already also always amazing amazon amazonaws amet among and angel animal another answer any anything api apikey
app apple application apps are area around ask asks asymmetric auth authentication authorization auto autumn aws azure
babe baby back backend bank bar bars base base32 base64 baseball based basic bat battery bear beautiful because bed
been before begin being best beta better between big bike bill bird bit bite bits black blank blue board boat bob body
book box bread bring broken brown bucket build business but buy byte bytes cafe call can cannot car card case cat
certificate change changed changeit changeme changethis changing char character characters charlie check chiave
chicken child children choose chosen church cipher city class clave clean clear client close cloud code coffee cold
come coming common company compose computer confidential config configuration consectetur contrasena contrasenia
correct could country create created credential credentials crypto current custom cut cyber daily dance dark data
database date day days dbpassword dead deadbeef dear deep default delete demo deploy design dev develop developer
development device did different digit digits django docker doe does dog doing dolor done door down download dragon
draw drive dummy during each earth east easy eat eight elephant eleven elit else email empty encode encoded encrypt
encrypted encryption end english enough enter enterprise env environment error even ever every everyone everything
example examples expires extremely eyes face fact fake false family far fast father favorite feel few field fifty file
files fill finally find fire first fish five fix fixed flask flower fly follow following foo foobar food football for
force forever form forty found four fox free freedom friend friends from front full fun future game garden gateway
gave geheim geheime geheimes general generate generated generator get getting girl git github gitlab give given god
going gold good google got great green group grow guess guest guide had hair half hand happy hard has hash haslo have
having head hear heart hello help her here hex hidden high him his hmac hold home hope horse host hot hour hours house
how hundred hunter idea identity iloveyou important incoming individual info information init initial input insecure
insert inside instance instead int internal internet into invalid ipsum item its java javascript jazz john jose json
jumps just justatest jwt jwts keep kept key keycloak keyphrase keys kid kind king know known kubernetes land lange
language laravel large last late later lazy learn least leave left length less let letmein letter letters level life
light like line link linux list listen little live living load local localhost lock log login london long longer look
lord lorem love low lower lucky machine made magic mail main make making man manager many mark master match matter may
maybe mean medium meet member memory message middle might million mind mine minimum minio minioaccess minioadmin
miniosecret minute mode modern monday money monkey month more morning most motdepasse mother mountain move much music
must myapp mypass mypassword mysecret mysecretpassword mysql name names national need needs network never new
newsecret next nice night nimda nine ninja nobody node nodejs none north not note nothing now null number numbers
oauth object off office offline often old once one only open openid openssl operator option orange order org
organization original other our out outside over own owner page paper parola part party pass passkey passphrase passw
passwd password passwords passwort past path pay peace people per perfect person pgpassword phone phrase physical pink
pizza place placeholder plain play player please point possible postgres postgrespw postgresql power present pretty
prince princess private prod product production program project protect protected provide public purple purpose
purposes put pwd python quality query question quick quickly quiet quite rabbit rails rain random randomly react read
ready real really red redis redispassword refresh release remember repeat replace replaced replaceme replacement
request require required reset rest return right river road rock role room root rotate round run running rustfs
rustfsadmin safe safely said salt same sample sandbox save saved say schluessel school sea second secondary seconds
secret secret_key secreta secretkey secreto secrets section secure secured securely security see seed seem segredo
segreto sehr self sell send senha sensitive server servers service services session sessions set setting settings
seven sft shadow shalom share shared sharing she shell shop short should show sign signature signed signing simple
since single sit site six size sky sleep slow small snow soccer software some someone something sometimes son song
soon south space special spring sql stack staging standard staple star start state static stay step still stop storage
store story strange street string strings strong strongpass student stuff such summer sun sunday sunshine supabase
super superman supersecret superuser sure symfony symmetric sysadmin sysdba system table take talk tea team tell temp
temporary ten test tester testing tests text than that the their them then there these they thing things think third
thirty this those though thought thousand three thru thunder tiger time times today together token tokens tomorrow too
toor top topsecret toto town transfer travel tree true trust trustno1 try turn twelve twenty two type typescript
ubuntu ultra unbreakable under unguessable unique unit university unknown unsafe until update upload upper use used
user username users using utf8 uuid valid validate valkey value values var variable vault very village visit vue
wachtwoord wait walk wall want war was water way weak weather web webapp website week welcome well were west what
whatever when where which while white who whole why wide wife will wind window winter wish with within without woman
wonder word words work worker working works world worth would write wrong www year years yellow yes yesterday yet you
young your yours yourself zebra zero zone 256 384 512 1024 2048 128 100 000 007 123 1234 321 666 777 911 999 0000 1111
"""

WORDS: Final = frozenset(_TEXT.split()) | {str(year) for year in range(1970, 2040)}
"""Common English, the language of manuals, and names that servers and their users go by."""

ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789abcdef",
    "1234567890",
    "9876543210",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "!@#$%^&*()_+",
)
"""Rows of letters and keys that fingers and minds run along, either way."""

PHRASES: Final = (
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-384-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "your-256-bit-secret",
    "your-384-bit-secret",
    "your-512-bit-secret",
    "your-secret-key",
    "your_secret_key",
    "your-secret-key-here",
    "your-secret-key-here-change-in-production",
    "your-super-secret-key",
    "your-encryption-key-here",
    "change-me",
    "change_me",
    "change-this",
    "change this",
    "secret-key",
    "my-secret-key",
    "my_secret_key",
    "my secret key",
    "my secret",
    "super-secret",
    "super secret",
    "super-secret-key",
    "encryption-key",
    "encryption_key",
    "this is a secret",
    "hello world",
    "Hello World",
    "Hello, World!",
    "hello, world",
    "helloworld",
    "the quick brown fox jumps over the lazy dog",
    "The quick brown fox jumps over the lazy dog",
    "The quick brown fox jumps over the lazy dog.",
    "correct horse battery staple",
    "correct-horse-battery-staple",
    "correcthorsebatterystaple",
    "lorem ipsum",
    "p@ssw0rd",
    "P@ssw0rd",
    "passw0rd",
    "Passw0rd",
    "Password1!",
    "Password123!",
    "admin:admin",
    "root:root",
    "0000000000",
    "1111111111",
    "secure file transfer",
    "Secure File Transfer",
    "secure-file-transfer",
    "secure-files",
)
"""Whole texts of manuals and habit, whose digests are taken for keys."""

PUBLISHED: Final = frozenset(
    {
        # SHA-256 of what looks random and is in print, so that nobody copies it from here.
        # Signs tokens in a tutorial that many services began as.
        "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",
        # A web framework's manual, on sessions.
        "2598f7d6adc142d88161630f3db12ab2bd3403521c281811e5e1ce60d4ac5d76",
        # RFC 7515, appendix A.1.
        "8b1b17a9740c068accab5c3d0d652c8e3cc13206e70bb73b42ea41d4c2de3c12",
        # A public playground of an S3 server.
        "df452eef23e8cf2c74af54c0c7419c05a5ec70ef4d5c2eb04082b02af8c55598",
        # The specification of Fernet tokens: the text, and the bytes it stands for.
        "d88a2cb53b61ef4d6fe8923a89129d437a293f6cd1a951ff09b94f971a88d585",
        "cbeb362f1fa69a6691db592f4529cf6bea1ce089eb132a3350c9081279ff8f34",
        # NIST SP 800-38A and SP 800-38D, as text and as bytes.
        "2ef2503d964e9668092e6878d3c390ca7909bbbffabd781857115e3be4bb3e5a",
        "837e8e636d452b6133d5a5c56de1eb57c08a94bbe632804fa621a49014c5c034",
        "4c0ef241e6e98accb3b1ed32a21f61fe8990d85518c172917f67f906f714115d",
        "57c065fb036e9fcdbdfcf5a08882af40cd3e1b1340c165ce34952242c72f5d97",
        "b93c72b74bc8487d29827005f80d635918f91bc22b14d7ed05714d58f96702dd",
        "7f70dfd819c3c5826700c209d1633eb5af014210decb7d7ff6d6ebadfa9bad27",
    }
)
