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
    "1234567890",
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "0123456789abcdef",
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
admin:admin; root:root; 0000000000; 1111111111; secure file transfer; Secure File Transfer; secure-file-transfer;
secure-files
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
