"""
Data for `secret_strength`: words, letter pairs and keyboard rows of invented secrets; published examples.
"""

from __future__ import annotations

from string import ascii_lowercase
from typing import Final

_WORDS: Final = """
access account admin administrator apikey apple application auth authentication authorization backend base64 because
before best bits body bucket byte bytes change changed changeit changeme changethis character characters cloud code
company config correct battery staple horse create credential credentials crypto custom data database default demo
deploy dev develop developer development digit digits docker dolor sit amet consectetur dragon dummy encode encoded
encrypt encryption enter environment every example fake file files football for forever friend from generate generated
goes google guess guest hash have hello here hidden hmac hunter insecure ipsum issuer jwt key keys lazy least length
letmein letters local localhost login long lorem love machine make manager master minio minimum monkey must name never
nobody not number oauth only over owner party pass passphrase password passwort phrase placeholder please postgres
postgresql princess private prod production project public quick brown jumps random redis refresh replace root rustfs
safe sample secret secretkey secrets secure security server service session share shadow should signature signing some
someone something staging storage store string strong summer sunshine super sure system team temp test tester testing
text that the their then there these they thing think this those token tokens transfer trust user username users using
valid value very wachtwoord want web webapp website welcome what when which will winter with word words work world
write year you your
abcdef abcdefgh abcdefghijklmnopqrstuvwxyz azerty azertyuiop asdf asdfghjkl zxcvbn zxcvbnm qwer qwert qwerty qwertyuiop
qwertz qwertzuiop qazwsx poiuytrewq lkjhgfdsa mnbvcxz abc xyz
"""

WORDS: Final = frozenset(_WORDS.split())
"""Words of manuals, servers and common passwords, and rows of keys: at least three small letters each."""

_COMMON: Final = """
abcd1234 able about above accesskey active adipiscing after again against alice alpha already also always amazing
amazon amazonaws among angel animal another answer anything apps area around asks asymmetric auto autumn azure babe
baby back bank bars base base32 baseball based basic bear beautiful been begin being beta better between bike bill bird
bite black blank blue board boat book bread bring broken build business cafe call cannot card case certificate changing
char charlie check chiave chicken child children choose chosen church cipher city class clave clean clear client close
coffee cold come coming common compose computer confidential configuration contrasena contrasenia could country created
current cyber daily dance dark date days dbpassword dead deadbeef dear deep delete design device different django does
doing done door down download draw drive during each earth east easy eight elephant eleven elit else email empty
encrypted english enough enterprise error even ever everyone everything examples expires extremely eyes face fact false
family fast father favorite feel field fifty fill finally find fire first fish five fixed flask flower follow following
foobar food force form forty found four free freedom friends front full future game garden gateway gave geheim
geheim123 geheime geheimes general generator getting girl github gitlab give given going gold good great green group
grow guide hair half hand happy hard haslo having head hear heart help high hold home hope host hour hours house
hundred idea identity iloveyou important incoming individual info information init initial input insert inside instance
instead internal internet into invalid item java javascript jazz john jose json just justatest jwts keep kept keycloak
keyphrase kind king know known kubernetes land lange language laravel large last late later learn leave left less
letter level life light like line link linux list listen little live living load lock london longer look lord lower
lucky made magic mail main making many mark match matter maybe mean medium meet member memory message middle might
million mind mine minioaccess minioadmin miniosecret minute mode modern monday money month more morning most motdepasse
mother mountain move much music myapp mypass mypassword mysecret mysecretpassword mysql names national need needs
network newsecret next nice night nimda nine ninja node nodejs none north note nothing null numbers object office
offline often once open openid openssl operator option orange order organization original other outside page paper
parola part passkey passw passwd passwords past path peace people perfect person pgpassword phone physical pink pizza
place plain play player point possible postgrespw power present pretty prince product program protect protected provide
purple purpose purposes python quality query question quickly quiet quite rabbit rails rain randomly react read ready
real really redispassword release remember repeat replaced replaceme replacement request require required reset rest
return right river road rock role room rotate round running rustfsadmin safely said salt same sandbox save saved
schluessel school second secondary seconds secret_key secreta secreto section secured securely seed seem segredo
segreto sehr self sell send senha sensitive servers services sessions setting settings seven sft shalom shared sharing
shell shop short show sign signed simple since single site size sleep slow small snow soccer software sometimes song
soon south space special spring stack standard star start state static stay step still stop story strange street
strings strongpass student stuff such sunday supabase superman supersecret superuser symfony symmetric sysadmin sysdba
table take talk temporary tests than them things third thirty though thought thousand three thru thunder tiger
time times today together tomorrow toor topsecret toto town travel tree true trustno1 turn twelve twenty type
typescript ubuntu ultra unbreakable under unguessable unique unit university unknown unsafe until update upload upper
used utf8 uuid validate valkey values variable vault village visit wait walk wall water weak weather week well were
west whatever where while white whole wide wife wind window wish within without woman wonder worker working works worth
would wrong years yellow yesterday young yours yourself zaq12wsx zebra zero zone
"""

COMMON: Final = WORDS | frozenset(_COMMON.split())
"""Words that are no password alone, and whose digests are no key: `WORDS`, more English, and other languages."""

_FOLLOWERS: Final = """
ntrlscmdibpyugfvkwxaeoqhjz eluyjaroiscptnmdbfwghkxvqz oetahluikrcsynfpmdwbqvgjxz eiaotsbnudwfcrlpmyvhgkxjqz
rnsdctafmiplxeoywvgbquhkjz otiareufynslcpwmdbkhgxvjzq eiarnthuslocpmwfgdbkvyxzjq eaiotrsncmuypfwdvblhkgxjqz
ntsocflbemgdrvapzxkiujqwhy euosanikcpjtxwgdbfhlmqrvyz eisantoucwfbpmrldgyhkvjqxz eiaolyutsdfpncbrwmvkghxqjz
eaopisubmtdnclwyrfvhkxgjzq tdsogneaciufylbmpvrwkhxjzq nrftumdpbswclvaogeikyhxzjq raelotypiushdncmfwbkgvxqzj
ulanrmesbwyxcdfghijkopqtvz eaiotsmnyrcdkgupvwflbhxjqz etiasonupchflwrmdybgkqvxzj hieoasrtycunwlmfbpdgvkxqjz
tsnrmlepcbiadgofwhukyvxjqz eaiomsbfnkvptrucghdjlqwxyz ihoaenrstlwcpfvdmkgbuyzjqx cpteianysxohfdmgrublwzvjkq
otapsinrcwmbdfelukyvhgzxjq eaionfsmbptcrwydghjklquvxz
"""

FOLLOWERS: Final = dict(zip(ascii_lowercase, _FOLLOWERS.split(), strict=True))
"""All letters, by how often they follow a letter in English text without spaces."""

ROWS: Final = (
    *("1234567890", "0123456789", "9876543210", "87654321", "abcdefghijklmnopqrstuvwxyz", "0123456789abcdef"),
    *("qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm"),
    *("1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "!@#$%^&*()_+"),
)
"""Rows of keys and letters; each of their beginnings is a common password."""

FIRST: Final = (
    *("admin", "api", "app", "auth", "change", "default", "dev", "encryption", "jwt", "master", "my", "root", "server"),
    *("session", "super", "test", "the", "this", "token", "your"),
)
LAST: Final = ("key", "me", "pass", "password", "secret", "token")
"""Words that names of secrets, such as `my-secret-key`, begin and end with."""

ENDINGS: Final = ("", "1", "123", "!", "-2024", "2024", "\n")
"""What often follows such a name; the line feed is that of `echo`."""

_PHRASES: Final = """
a-string-secret-at-least-256-bits-long; a-valid-string-secret-that-is-at-least-384-bits-long;
a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long; your-256-bit-secret; your-384-bit-secret;
your-512-bit-secret; your-secret-key-here; your-secret-key-here-change-in-production; your-encryption-key-here; this is
a secret; hello world; Hello World; Hello, World!; hello, world; the quick brown fox jumps over the lazy dog; The quick
brown fox jumps over the lazy dog; The quick brown fox jumps over the lazy dog.; correct horse battery staple;
correct-horse-battery-staple; correcthorsebatterystaple; lorem ipsum; p@ssw0rd; P@ssw0rd; passw0rd; Passw0rd;
admin:admin; root:root; 0000000000; 1111111111; Password1!; Password123!; helloworld; secure file transfer; Secure File
Transfer; secure-file-transfer; secure-files
"""

PHRASES: Final = tuple(" ".join(_PHRASES.split()).split("; "))
"""Sentences of manuals whose digests are used as keys."""

PUBLISHED: Final = frozenset(
    {
        # SHA-256 of each value, so that none can be copied from here.
        # The signing key of a widely copied tutorial.
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
"""SHA-256 digests of keys that look random and are printed in manuals and specifications."""
