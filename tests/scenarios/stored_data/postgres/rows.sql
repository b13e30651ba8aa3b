CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.claims (
    number integer NOT NULL,
    key_id character varying(64) NOT NULL,
    CONSTRAINT ck_claims_there_is_one CHECK ((number = 1))
);

CREATE TABLE public.files (
    id bytea NOT NULL,
    owner_id bytea NOT NULL,
    state character varying(16) NOT NULL,
    name character varying(255) NOT NULL,
    original_name character varying(255) NOT NULL,
    media_type character varying(127) NOT NULL,
    size bigint NOT NULL,
    version bigint NOT NULL,
    encryption character varying(16) NOT NULL,
    key_id character varying(64),
    wrapped_key bytea,
    max_downloads integer,
    expires_hours integer,
    created_at bigint NOT NULL,
    held bigint DEFAULT 0 NOT NULL,
    touched_at bigint DEFAULT 0 NOT NULL,
    expires_at bigint,
    CONSTRAINT ck_files_encryption_is_known CHECK (((encryption)::text = ANY ((ARRAY['server'::character varying, 'client'::character varying])::text[]))),
    CONSTRAINT ck_files_held_is_not_negative CHECK ((held >= 0)),
    CONSTRAINT ck_files_key_is_whole CHECK (((key_id IS NULL) = (wrapped_key IS NULL))),
    CONSTRAINT ck_files_size_is_not_negative CHECK ((size >= 0)),
    CONSTRAINT ck_files_state_is_known CHECK (((state)::text = ANY ((ARRAY['receiving'::character varying, 'sealed'::character varying, 'aborting'::character varying, 'deleting'::character varying])::text[])))
);

CREATE TABLE public.kept_answers (
    key_digest bytea NOT NULL,
    owner_id bytea NOT NULL,
    fingerprint bytea NOT NULL,
    file_id bytea NOT NULL,
    token_digest bytea,
    expires_at bigint NOT NULL
);

CREATE TABLE public.leases (
    name character varying(64) NOT NULL,
    holder character varying(64) NOT NULL,
    until bigint NOT NULL
);

CREATE TABLE public.links (
    id bytea NOT NULL,
    file_id bytea NOT NULL,
    owner_id bytea NOT NULL,
    token_digest bytea NOT NULL,
    token_key_id character varying(64),
    wrapped_token bytea,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    max_downloads integer,
    downloads integer NOT NULL,
    revoked_at bigint,
    CONSTRAINT ck_links_budget_is_kept CHECK (((max_downloads IS NULL) OR (downloads <= max_downloads))),
    CONSTRAINT ck_links_downloads_are_not_negative CHECK ((downloads >= 0)),
    CONSTRAINT ck_links_token_is_whole CHECK (((token_key_id IS NULL) = (wrapped_token IS NULL)))
);

CREATE TABLE public.marks (
    number integer NOT NULL,
    mark character varying(32) NOT NULL,
    CONSTRAINT ck_marks_there_is_one CHECK ((number = 1))
);

CREATE TABLE public.parts (
    file_id bytea NOT NULL,
    number bigint NOT NULL,
    start bigint NOT NULL,
    size bigint NOT NULL,
    stored_size bigint NOT NULL,
    blob_key character varying(129) NOT NULL,
    header bytea NOT NULL,
    CONSTRAINT ck_parts_bounds_are_not_negative CHECK (((number >= 0) AND (start >= 0) AND (size >= 0)))
);

CREATE TABLE public.retired_keys (
    key_id character varying(64) NOT NULL,
    attempt character varying(32) NOT NULL,
    is_settled boolean NOT NULL
);

CREATE TABLE public.sessions (
    id bytea NOT NULL,
    user_id bytea NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    generation bigint NOT NULL,
    revoked_at bigint
);

CREATE TABLE public.throttles (
    key character varying(100) NOT NULL,
    comes_back bigint NOT NULL
);

CREATE TABLE public.uploads (
    file_id bytea NOT NULL,
    kind character varying(16) NOT NULL,
    length bigint,
    is_public boolean NOT NULL,
    metadata character varying(4096) NOT NULL,
    sources bytea NOT NULL,
    writer bigint NOT NULL,
    CONSTRAINT ck_uploads_kind_is_known CHECK (((kind)::text = ANY ((ARRAY['whole'::character varying, 'partial'::character varying, 'final'::character varying])::text[]))),
    CONSTRAINT ck_uploads_length_is_not_negative CHECK ((length >= 0))
);

CREATE TABLE public.usages (
    owner_id bytea NOT NULL,
    bytes bigint NOT NULL,
    CONSTRAINT ck_usages_bytes_are_not_negative CHECK ((bytes >= 0))
);

CREATE TABLE public.users (
    id bytea NOT NULL,
    email character varying(254) NOT NULL,
    username character varying(50) NOT NULL,
    username_key character varying(1024) NOT NULL,
    password_hash character varying(255) NOT NULL,
    is_active boolean NOT NULL,
    is_verified boolean NOT NULL,
    totp_key_id character varying(64),
    totp_seed bytea,
    totp_confirmed boolean NOT NULL,
    totp_last_step bigint NOT NULL,
    created_at bigint NOT NULL,
    last_login bigint,
    revision bigint NOT NULL,
    CONSTRAINT ck_users_totp_is_whole CHECK (((totp_key_id IS NULL) = (totp_seed IS NULL)))
);

INSERT INTO public.alembic_version VALUES ('0012');

INSERT INTO public.claims VALUES (1, '16cf2758a3a2eb85');

INSERT INTO public.files VALUES ('\x019b8d2b8c00700cadc1a523a510ecc7', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'first.txt', 'first.txt', 'text/plain', 300, 1, 'server', 'eb42b428a4e6d5b7', '\x0becb64f4a4b7b2bdff38576d949fa876b2f8e83887d8b6843a5361d31c0a06c43027c99a2e7e5bc', NULL, NULL, 1767600000000000, 300, 1767600000000000, NULL);
INSERT INTO public.files VALUES ('\x019cc296f90070069e3d1ca798c586e0', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'empty.txt', 'empty.txt', 'text/plain', 0, 1, 'server', 'eb42b428a4e6d5b7', '\x74b9d2a934e246d78aad845a2bb767682d301bd454f0e1955b54b87cffe9ad2d0c4f3bd08832cad6', NULL, NULL, 1772791200000000, 0, 1772791200000000, NULL);
INSERT INTO public.files VALUES ('\x019cc296f9007008a57f9110ac185a3b', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'one-part.bin', 'one-part.bin', 'application/octet-stream', 5000, 1, 'server', 'eb42b428a4e6d5b7', '\x7ee81741406cd3bd8f1afd4545740715f9d3e1397dffb2ee577ca81d88711e892f96d809b0dfaf9e', NULL, NULL, 1772791200000000, 5000, 1772791200000000, NULL);
INSERT INTO public.files VALUES ('\x019cc296f900700a9e6dfb0bf6fb50b1', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'several-parts.bin', 'several-parts.bin', 'application/octet-stream', 68536, 1, 'server', 'eb42b428a4e6d5b7', '\x6886dbf9b77842c702d64fef5c7da29224758ccb6143aa44e867cd3082bb9e754734f2bc1695e24f', NULL, NULL, 1772791200000000, 68536, 1772791200000000, NULL);
INSERT INTO public.files VALUES ('\x019cc296f900700c95852d3e514848ff', '\x019b8d2b8c007006aa4897dcd64d8de7', 'sealed', 'of noor.txt', 'of noor.txt', 'text/plain', 77, 1, 'server', 'eb42b428a4e6d5b7', '\xdf3e441340bb43208e6a8207ea7aa4c6f5c6736ee735c1f99221591d393b1319d08f6fd62eccbf51', NULL, NULL, 1772791200000000, 77, 1772791200000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d600700c968002d877667c78', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'Grüße – 你好.txt', 'Grüße – 你好.txt', 'text/plain', 400, 1, 'server', '16cf2758a3a2eb85', '\xa4d4750ad35f496cff26048c552c4f51691e07dc5d39ca19e5a3ec67a0fd3e2698198e7f5624f956', 5, 48, 1772798400000000, 400, 1772798400000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d600700fb7b039687939c4bb', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'with-an-end.bin', 'with-an-end.bin', 'application/octet-stream', 500, 1, 'server', '16cf2758a3a2eb85', '\x43c3c7ed7fbece3aef44f1606c11e04cb6d46729fcaaff8ce2cce22ffa9179b44b13f855eef3dcef', NULL, NULL, 1772798400000000, 500, 1772798400000000, 2088158400000000);
INSERT INTO public.files VALUES ('\x019cc304d600702083174ab8b5226d7c', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'receiving', 'partial', 'partial', 'application/octet-stream', 0, 1, 'server', '16cf2758a3a2eb85', '\xd7e858f40a86174ab3363750a4b707dc81f42861a23a32ca22355b825df7f36ea39da6ee9a556019', NULL, NULL, 1772798400000000, 200, 1772798400000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d6007023944f4d6fba2a3812', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'once.bin', 'once.bin', 'application/octet-stream', 600, 1, 'server', '16cf2758a3a2eb85', '\x6d58540971a5b4c258cdfba297e604568ad6aaeeac7528d930b65fe88c68947a4aa4a09008342257', NULL, NULL, 1772798400000000, 600, 1772798400000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d6007016b7cb1c11960a0b24', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'receiving', 'unfinished.bin', 'unfinished.bin', 'application/x-test', 0, 1, 'server', '16cf2758a3a2eb85', '\x0093517404fa8517e473d860ccfdbd94ba591b307d6b60b2ce20750d014f87c68d85843ab7d2cdb6', NULL, NULL, 1772798400000000, 150000, 1772798400000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d6007025860de43293fe1c3a', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'sealed', 'once.png', 'once.png', 'image/png', 700, 1, 'server', '16cf2758a3a2eb85', '\x0f7070ebe744dc8979c7cdd178f3699e461650c212ff871a475714397485612a66ab3f9595b82dce', NULL, NULL, 1772798400000000, 700, 1772798400000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d600701ab88b575db3a2e963', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'receiving', 'length-unknown.bin', 'length-unknown.bin', 'application/octet-stream', 0, 1, 'server', '16cf2758a3a2eb85', '\xd87d53fcd79ec42db25ddaaf2832b0a19399ab72b0e80ea5db6ae4ade08303f352a0d88200232780', NULL, NULL, 1772798400000000, 100, 1772798400000000, NULL);
INSERT INTO public.files VALUES ('\x019cc304d600701da929096791fb2771', '\x019b8d2b8c007002ad8e9965dc6aabe2', 'receiving', 'partial', 'partial', 'application/octet-stream', 0, 1, 'server', '16cf2758a3a2eb85', '\x62d62965b43b554d0e54d1cf558dc007e2a0c6614b860eaa30269f406080b0ce73f44ba0b1a7cbd3', NULL, NULL, 1772798400000000, 300, 1772798400000000, NULL);

INSERT INTO public.kept_answers VALUES ('\x740b8f0d2e223c645bbb797650d652e1f8f6a82c9ed6db28eb03285eae29d26c', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xadd3dcfa1acce81e0ff3d661aa887f731eabb98c9b8c8c134255257e34d51cb7', '\x019cc304d6007023944f4d6fba2a3812', NULL, 1772884800000000);
INSERT INTO public.kept_answers VALUES ('\x0692c4b451aab24ad6b6c4aafa039403a0f7670aba6f34441531ae2d0f3fe4e9', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xfe0fb7cd2aad8959025c33de4e95adb94952e78dc748e8d760868646cae45024', '\x019cc304d6007025860de43293fe1c3a', '\x29d71d556e0703090aa6f3fe98ebc28bc099206fdbe256b589d6ca775449f429', 1772884800000000);
INSERT INTO public.kept_answers VALUES ('\xf666002c0a945aa725e8d29799a9acf22b650dd00286e220ddbbe5e33d2685f5', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xb029b6be1a8d03b8187f553059b2479a18d4a84db3a4458cb3ee08eebf2f2885', '\x019cc304d600700fb7b039687939c4bb', '\x9ffbe35d695e989137b22f22838adc435574864f97089bf3940d94706d571869', 1772884800000000);
INSERT INTO public.kept_answers VALUES ('\xab00db769c1e05bc768f2bbb5b1bdc40653ee2ad406b980895cdd4bca2ab9ec9', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\x4b5f3f146dde2cf98a1dc554a7383e22930b21d23eaace158c7ab3fa6886588a', '\x019cc304d600702a810f838d16644233', NULL, 1772884800000000);

INSERT INTO public.links VALUES ('\x019b8d2b8c00700e831a2899fc680e49', '\x019b8d2b8c00700cadc1a523a510ecc7', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xd7a16c6473f2fc2a43c61d9b097249a9f96ba340cc8f981614e454c335dadb82', NULL, NULL, 1767600000000000, 1767686400000000, NULL, 0, NULL);
INSERT INTO public.links VALUES ('\x019cc296f90070149af5fb261f01d37a', '\x019cc296f900700a9e6dfb0bf6fb50b1', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\x8fc8d0dd480614c267c781aaa7c19698d2a7bf76654c8909056b13ee1206c541', 'eb42b428a4e6d5b7', '\x82b40d4c1375687471b6a7ff220ae4062418e12f78a89be21096da73d673ef0511c508bfb856faa5', 1772791200000000, 1772794800000000, NULL, 0, NULL);
INSERT INTO public.links VALUES ('\x019cc304d600700d8a5dbc3432c11ee9', '\x019cc304d600700c968002d877667c78', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xf0779eae62caaa5fe7e5a483cc59b2a51f5547c23f667282b39e177e8501e35a', '16cf2758a3a2eb85', '\x7c28eeb7b6e477cf01e4c23f095c4a8feb27a8682aed8aebed2321cef617a471e8972924175ffd61', 1772798400000000, 1772971200000000, 5, 0, NULL);
INSERT INTO public.links VALUES ('\x019cc296f900700eb473121a437306d6', '\x019cc296f9007008a57f9110ac185a3b', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xaa02c5e2070d964bca663231118b25728160881f40db2e05e53c00ca57fece28', 'eb42b428a4e6d5b7', '\xf538d161d1a8f3de935f6dc4c0531c87067b7701229cd9112ddf32dbb5ad04a792a4a809b62f0f45', 1772791200000000, 1775383200000000, 3, 1, NULL);
INSERT INTO public.links VALUES ('\x019cc296f9007010a4568ffaf2dcdfba', '\x019cc296f900700a9e6dfb0bf6fb50b1', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\xcc38b1d517599627c8ee87572b946b59b9aa8467ca149fe2e77ffb602ce46725', 'eb42b428a4e6d5b7', '\xdf57fdcc8efa40588de573c5a6876659bbf31e1e287a9285b8aff709e7dbd546bc771dc8cbb036a1', 1772791200000000, 1775383200000000, 1, 1, NULL);
INSERT INTO public.links VALUES ('\x019cc304d6007026a9c2bbb2c9af4ebc', '\x019cc304d6007025860de43293fe1c3a', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\x29d71d556e0703090aa6f3fe98ebc28bc099206fdbe256b589d6ca775449f429', '16cf2758a3a2eb85', '\x4d4a0948c114cba5ac8e978d732d5cb470820fa5ecb687385bfc88d16bc3024c1dbf19966fc1f98d', 1772798400000000, 1772884800000000, NULL, 0, NULL);
INSERT INTO public.links VALUES ('\x019cc304d6007028b865782a00e4dfcf', '\x019cc304d600700fb7b039687939c4bb', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\x9ffbe35d695e989137b22f22838adc435574864f97089bf3940d94706d571869', '16cf2758a3a2eb85', '\xcdccce02095069bc9e240a3f3811277b3e7a449242acffed2e6ea526b87caa5195fadcfc3ac63a12', 1772798400000000, 1773158400000000, 2, 0, NULL);
INSERT INTO public.links VALUES ('\x019cc296f90070128c8b58d438f91253', '\x019cc296f9007008a57f9110ac185a3b', '\x019b8d2b8c007002ad8e9965dc6aabe2', '\x112999c7734d8cf5d2b839cc8a9153ecdb6950c2b18a31a647bffea430d114c2', 'eb42b428a4e6d5b7', '\xb970a77a211df621060cde1f4d0dbfe833dd49558e4ebce0e7c6b40f097ecca3e3b0bbd90c21c8e4', 1772791200000000, 1775383200000000, NULL, 0, 1772798400000000);

INSERT INTO public.marks VALUES (1, '568b1028b26042f58f94c00b9b1da966');

INSERT INTO public.parts VALUES ('\x019b8d2b8c00700cadc1a523a510ecc7', 0, 0, 300, 372, '019b8d2b8c00700cadc1a523a510ecc7/1-00000000-ee1c83bea4136ab1', '\x39ab5bb75ec49e9775d1a9cd3cf96e957f31740efcfa0d21d26849f6818b950cd7a5cf4c511f82d5a995ab42fc92a2ae47287ff91814d559');
INSERT INTO public.parts VALUES ('\x019cc296f90070069e3d1ca798c586e0', 0, 0, 0, 72, '019cc296f90070069e3d1ca798c586e0/1-00000000-b975923c0760683e', '\x3869e3c6f9de4d2d61d20cc83c95dfeb3df742af0443efa0499689f1503cfa1d41460f7147ab63d53c22fa7303b4c7ac1a68e9ed846de490');
INSERT INTO public.parts VALUES ('\x019cc296f9007008a57f9110ac185a3b', 0, 0, 5000, 5072, '019cc296f9007008a57f9110ac185a3b/1-00000000-78b45c3b4df2ceb4', '\xbe38bc2890d4e38f20827cdce00326516622c5d69733b4d3b26ab091ae44b36e72b5590fbbe96552b0f3d45fc021ca5395d7f002db21f516');
INSERT INTO public.parts VALUES ('\x019cc296f900700a9e6dfb0bf6fb50b1', 0, 0, 65536, 65672, '019cc296f900700a9e6dfb0bf6fb50b1/1-00000000-a783b671ad3bfbd0', '\x3deeae9fa85cbbf364b63ce2262382341b56c0525a16b57c87e8e5e48cbab4230008c93fd5ef1ad8c36952fb234080045ae3627b7b979216');
INSERT INTO public.parts VALUES ('\x019cc296f900700a9e6dfb0bf6fb50b1', 1, 65536, 3000, 3072, '019cc296f900700a9e6dfb0bf6fb50b1/1-00000001-67c4a700921178cc', '\xbf98ff3a4ca06d7d23c7844aaff4745770fd85eed165b5d0282d7ecfd41f542eadb78209b03316d78043522cb169c4cbb5da59f9474b6e50');
INSERT INTO public.parts VALUES ('\x019cc296f900700c95852d3e514848ff', 0, 0, 77, 149, '019cc296f900700c95852d3e514848ff/1-00000000-e751051e54c6520b', '\xba682b551afa7d542749655e85ecaf9da07ca619cd5adaae777b9c2952917703489440ddbe5ae282266ce0e9cf64bd93c0c148f9aff3b8d3');
INSERT INTO public.parts VALUES ('\x019cc304d600700c968002d877667c78', 0, 0, 400, 472, '019cc304d600700c968002d877667c78/1-00000000-4f4f97182434c9d1', '\x202d6ae9d0d2fdc014c9589300d234a98233ec014e49507ba8b0acd6701ba07b183c546283cdab833cd5624f4c6422d0f5d2154f98bd2a21');
INSERT INTO public.parts VALUES ('\x019cc304d600700fb7b039687939c4bb', 0, 0, 500, 572, '019cc304d600700fb7b039687939c4bb/1-00000000-40f1c9a0d7673e2d', '\xbf6c51299f881a77a5d701c76c1236504ed9d9e2d9e9abdbb529c412dbc6a143c5cd86c84fb6b54409d5c520756153081a741cc304eb6523');
INSERT INTO public.parts VALUES ('\x019cc304d6007016b7cb1c11960a0b24', 0, 0, 3000, 3072, '019cc304d6007016b7cb1c11960a0b24/1-00000000-d86a6a9befb01c05', '\x8131f00671431f4ffea6cc0dfb888f889b63ead865463cb3489674394dcd69c2d7ec5cc6554f66938f75f36a29816fe6d8be1f3c2b444f2a');
INSERT INTO public.parts VALUES ('\x019cc304d6007016b7cb1c11960a0b24', 1, 3000, 2000, 2072, '019cc304d6007016b7cb1c11960a0b24/1-00000001-aa38f7f0503b448b', '\x6c4051953605e055f4f2485ba7122febe01a26bf03353740e80fb83e04d5f3c4465b657d9555c547ba9266c6b8053c7f1ab49f297e534b59');
INSERT INTO public.parts VALUES ('\x019cc304d600701ab88b575db3a2e963', 0, 0, 100, 172, '019cc304d600701ab88b575db3a2e963/1-00000000-a5f1f17075f9303b', '\x6292059663fe6fb6621b8dc531ede440f61085d6d421363170b72eabc69c4a9bd8595b2a4a969e1694196b13286d3685e83d26d58c52ba44');
INSERT INTO public.parts VALUES ('\x019cc304d600701da929096791fb2771', 0, 0, 300, 372, '019cc304d600701da929096791fb2771/1-00000000-e4727abfc37c73a6', '\x12ec2f093eb49f1125af3dfb6d2b28941a94fea53e7f5f7f801a11bf3fef6b63dc23deaa633c2a147af6f37a5aa18bf1a2d013ec03fc8f69');
INSERT INTO public.parts VALUES ('\x019cc304d600702083174ab8b5226d7c', 0, 0, 200, 272, '019cc304d600702083174ab8b5226d7c/1-00000000-e67e110597e00e55', '\xd8e04a388f623adb8490f7249b5a866a83b4de9ef8e1f8163a5a179881b9fbad296d8a942610aad5ea0fbfd85364d08bd0de71f2ea2a9f33');
INSERT INTO public.parts VALUES ('\x019cc304d6007023944f4d6fba2a3812', 0, 0, 600, 672, '019cc304d6007023944f4d6fba2a3812/1-00000000-4799e035f0f6bb93', '\x11f0c4b3dc8811f1131fa3ed6b3a96781e373ff7e9de3e9928dab2a1ee00e9f16a97125025cd5b7dc6ac3c896a9ba8cafc58b3368c58adcd');
INSERT INTO public.parts VALUES ('\x019cc304d6007025860de43293fe1c3a', 0, 0, 700, 772, '019cc304d6007025860de43293fe1c3a/1-00000000-550299b3d7c68ca1', '\x029d3e8c9186a28b62315cfe6bcc041ab88e7b9499f4cead4be8502901facaa515b93d3e35ff5a3026a3d1d83eb6c25d021ad4e485c3f22d');

INSERT INTO public.retired_keys VALUES ('ba62196b2f8d9750', '30f0e8f12645454ab92dd8e53c447085', true);

INSERT INTO public.sessions VALUES ('\x019cc296f9007002a17a1ba3fe639410', '\x019b8d2b8c007002ad8e9965dc6aabe2', 1772791200000000, 1773396000000000, 0, NULL);
INSERT INTO public.sessions VALUES ('\x019cc296f9007004bb5be208540f97ce', '\x019b8d2b8c007006aa4897dcd64d8de7', 1772791200000000, 1773396000000000, 0, NULL);
INSERT INTO public.sessions VALUES ('\x019cc304d6007002af8b625fde75cc91', '\x019b8d2b8c007002ad8e9965dc6aabe2', 1772798400000000, 1773403200000000, 0, NULL);
INSERT INTO public.sessions VALUES ('\x019cc304d60070068f91870443381a66', '\x019b8d2b8c007002ad8e9965dc6aabe2', 1772798400000000, 1773403200000000, 0, NULL);
INSERT INTO public.sessions VALUES ('\x019cc304d6007004a4630a1bdafdda48', '\x019b8d2b8c007002ad8e9965dc6aabe2', 1772798400000000, 1773403200000000, 1, NULL);
INSERT INTO public.sessions VALUES ('\x019cc304d600700980adc96137f049bd', '\x019b8d2b8c007006aa4897dcd64d8de7', 1772798400000000, 1773403200000000, 0, NULL);

INSERT INTO public.throttles VALUES ('sign-in:cd436d4960cc63bf0590cad790cbcc079621d4cb', 1772798490000000);

INSERT INTO public.uploads VALUES ('\x019cc304d6007016b7cb1c11960a0b24', 'whole', 150000, false, 'filename dW5maW5pc2hlZC5iaW4=,filetype YXBwbGljYXRpb24veC10ZXN0,note a2VwdCBhbmQgZ2l2ZW4gYmFjaw==', '\x', 2);
INSERT INTO public.uploads VALUES ('\x019cc304d600701ab88b575db3a2e963', 'whole', NULL, false, 'filename bGVuZ3RoLXVua25vd24uYmlu', '\x', 1);
INSERT INTO public.uploads VALUES ('\x019cc304d600701da929096791fb2771', 'partial', 300, false, '', '\x', 1);
INSERT INTO public.uploads VALUES ('\x019cc304d600702083174ab8b5226d7c', 'partial', 200, false, '', '\x', 1);

INSERT INTO public.usages VALUES ('\x019b8d2b8c007006aa4897dcd64d8de7', 77);
INSERT INTO public.usages VALUES ('\x019b8d2b8c007002ad8e9965dc6aabe2', 226636);

INSERT INTO public.users VALUES ('\x019b8d2b8c007002ad8e9965dc6aabe2', 'maya@example.org', 'maya', 'maya', '$argon2id$v=19$m=8192,t=1,p=1$Ub1ymMqeYW9EM1rVriXoQw$hssj+ieGZfu25na6tTzmpgD+bdsjzMwfLIY4GQ6dALY', true, false, NULL, NULL, false, -1, 1767600000000000, 1772798400000000, 5);
INSERT INTO public.users VALUES ('\x019b8d2b8c007006aa4897dcd64d8de7', 'noor@example.org', 'Noor', 'noor', '$argon2id$v=19$m=8192,t=1,p=1$KSYrsn/9DUsv4KKKGzdQVA$d2JAUJWMeiBFikVujz4vWed3K0ZRXcRdSagmDnNIkbQ', true, false, 'eb42b428a4e6d5b7', '\x3ea5757d7572c60e990848af100e668521ef7b72d2f9a825f51903c9944f93fe9e27c960b65dcf88', true, 59093280, 1767600000000000, 1772798400000000, 6);

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.claims
    ADD CONSTRAINT pk_claims PRIMARY KEY (number);

ALTER TABLE ONLY public.files
    ADD CONSTRAINT pk_files PRIMARY KEY (id);

ALTER TABLE ONLY public.kept_answers
    ADD CONSTRAINT pk_kept_answers PRIMARY KEY (key_digest);

ALTER TABLE ONLY public.leases
    ADD CONSTRAINT pk_leases PRIMARY KEY (name);

ALTER TABLE ONLY public.links
    ADD CONSTRAINT pk_links PRIMARY KEY (id);

ALTER TABLE ONLY public.marks
    ADD CONSTRAINT pk_marks PRIMARY KEY (number);

ALTER TABLE ONLY public.parts
    ADD CONSTRAINT pk_parts PRIMARY KEY (file_id, number);

ALTER TABLE ONLY public.retired_keys
    ADD CONSTRAINT pk_retired_keys PRIMARY KEY (key_id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT pk_sessions PRIMARY KEY (id);

ALTER TABLE ONLY public.throttles
    ADD CONSTRAINT pk_throttles PRIMARY KEY (key);

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT pk_uploads PRIMARY KEY (file_id);

ALTER TABLE ONLY public.usages
    ADD CONSTRAINT pk_usages PRIMARY KEY (owner_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);

ALTER TABLE ONLY public.links
    ADD CONSTRAINT uq_links_token_digest UNIQUE (token_digest);

ALTER TABLE ONLY public.parts
    ADD CONSTRAINT uq_parts_blob_key UNIQUE (blob_key);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_email UNIQUE (email);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_username_key UNIQUE (username_key);

CREATE INDEX ix_files_ending ON public.files USING btree (id, expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX ix_files_owner_id_state_created_at_id ON public.files USING btree (owner_id, state, created_at, id);

CREATE INDEX ix_files_unfinished ON public.files USING btree (id) WHERE ((state)::text <> 'sealed'::text);

CREATE INDEX ix_links_file_id_created_at_id ON public.links USING btree (file_id, created_at, id);

CREATE INDEX ix_parts_file_id_start ON public.parts USING btree (file_id, start);

CREATE INDEX ix_sessions_user_id ON public.sessions USING btree (user_id);

ALTER TABLE ONLY public.files
    ADD CONSTRAINT fk_files_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.kept_answers
    ADD CONSTRAINT fk_kept_answers_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.links
    ADD CONSTRAINT fk_links_file_id FOREIGN KEY (file_id) REFERENCES public.files(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.links
    ADD CONSTRAINT fk_links_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.parts
    ADD CONSTRAINT fk_parts_file_id FOREIGN KEY (file_id) REFERENCES public.files(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT fk_sessions_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT fk_uploads_file_id FOREIGN KEY (file_id) REFERENCES public.files(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.usages
    ADD CONSTRAINT fk_usages_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id);

