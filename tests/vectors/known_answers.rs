//! Known answers that need no file (protocol specification 10.2, 19).

use protocol::crypto::poly1305;
use protocol::crypto::salsa20::Salsa20;
use protocol::identity::work;
use protocol::packet::{self, PacketView};
use protocol::{
    Address, MacAddress, NetworkId, PacketId, SecretIdentity, SessionKeys, Suite, Verb,
};

const A: &str = "5dc3cf6a4a:0:9559f010209ac0f8e17f6336771e15bcc0f9d9b24a5f60dccebc3056937cee7b\
    5c726f87a5bb94bce4084b13c5c3941a1a73665141af824fc334247193e6c0c2:e0cbf26840f0bcd801de20e2bf965ca7\
    7216dcf78726453840328e9c4054fb652cb708656276df2dd4cbf357e7102e9d62e7fd6793f224b4e8d71709652089d4";
const B: &str = "d0e4e85737:0:8840c0ec6746b561fe2b2e48f006357027f61c8fda6b6b0c69ad3160d1e6aa5a\
    102f7ce0b9cfa2aac2d6078bf8d25e61bca21c0f9166ae8687732eb63cef7018:a9ddbef8ee441c2b03b7da8779c451b2\
    aff069410f5318490f4b68854111e2f18109ea5e5ae69be23c58ab81c19643ba7d8534e998bdd3414ad5fdb29da49a81";
const ID: PacketId = PacketId(0x0102_0304_0506_070f);

fn a() -> SecretIdentity {
    A.parse().unwrap()
}

fn b() -> SecretIdentity {
    B.parse().unwrap()
}

fn keys() -> SessionKeys {
    SessionKeys::new(&a().agree(b().public()))
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn identity() {
    let (a, b) = (a(), b());
    assert_eq!(a.to_secret_string(), A);
    for secret in [&a, &b] {
        assert!(secret.public().validate() && secret.is_consistent());
    }
    assert_eq!(
        work::digest(a.public().public_key())[..],
        bytes(
            "03e777d946840fd1bb006af01dfc6df87cbd009b8b90b910f3b039f86190b119\
             966445c19ff502b728cd8d4736e6cae5e64adfc23bd3894cb9f7485dc3cf6a4a"
        )
    );
    assert_eq!(
        a.public().hash()[..],
        bytes(
            "4a7a9abc66e75a280fd33ce17892ef5e8c9e1bbad648e5bf\
             9ddaabc2658decf82c843affbb789b22988b6ba8fab51460"
        )
    );
    let shared = bytes(
        "dc889c6f83a4cca8af5e54260e2c68c877983579128333564aec93afd59fd120\
         1560f7df127c8b8df90aa8401896668d",
    );
    assert_eq!(a.agree(b.public()).0[..], shared);
    assert_eq!(b.agree(a.public()).0[..], shared);
}

#[test]
fn signature() {
    let message = b"zerotier interop test";
    let signature = a().sign(message);
    assert_eq!(
        signature.0[..],
        bytes(
            "17ec706f0d1df49e04ffae5755c62191d31000e67da44db9ef2025096a831769\
             a67c01e2b82504f66df68bdc04c989cc09ec14e77d2d9c805e2e3a7cb6bbca00\
             be3f0268abd0c545d50a5ba789f036b29db54f0507e9a707fcf8dcc15c36e40d"
        )
    );
    assert!(a().public().verify(message, &signature));
    assert!(!b().public().verify(message, &signature));
    assert!(!a().public().verify(b"another", &signature));
}

#[test]
fn packets() {
    for (suite, expected) in [
        (
            Suite::Poly1305,
            "010203040506070fd0e4e857375dc3cf6a4a00e97e7c86e68a6e1808000102030405060708090a0b0c0d0e0f\
             101112131415161718191a1b1c1d1e1f2021222324252627",
        ),
        (
            Suite::Salsa20Poly1305,
            "010203040506070fd0e4e857375dc3cf6a4a880b4ac26e56ad4f40127cf8c953a08f208b954cf82a24acf78d\
             39733e86a610a14468d8e9aa6ee93d23f451f13000528a7c",
        ),
        (
            Suite::AesGmacSiv,
            "6275d4f586a89c90d0e4e857375dc3cf6a4a1838a193e9c19a200648c1e888c5fb7d25f21b1fdb124d9d9326\
             61006eda8baaff86e81cfe73614f5825d3e2ddcf3feca7df",
        ),
    ] {
        let mut packet = packet::start(ID, b().address(), a().address(), Verb::Echo);
        packet.extend(0..40);
        keys().seal(&mut packet, suite);
        assert_eq!(packet, bytes(expected), "{suite:?}");
        // Each still authenticates after the hop bits are incremented.
        assert!(packet::increment_hops(&mut packet));
        keys().open(&mut packet).unwrap();
        let view = PacketView::new(&packet).unwrap();
        assert!(view.payload().iter().copied().eq(0..40));
        assert_eq!(view.hops(), 1);
    }
    let mut one_time_key = [0; 32];
    let key = bytes("dd8a9f6b86a2cba77fbabc713971ab071dd2bd3d128333564aec93afd59fd120");
    Salsa20::<12>::new(&key.try_into().unwrap(), &ID.0.to_be_bytes()).write(&mut one_time_key);
    assert_eq!(
        one_time_key[..],
        bytes("5d204f96a6aac312d86204441d75428e9f4e1b8f1d91ed617a9af35a826664c0")
    );
    // RFC 8439 2.5.2.
    let key = bytes("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
    let tag = poly1305::tag(
        &key.try_into().unwrap(),
        b"Cryptographic Forum Research Group",
    );
    assert_eq!(tag[..], bytes("a8061dc1305136c6c22b8baf0c0127a9"));
}

#[test]
fn hello() {
    let mut packet = packet::start(ID, b().address(), a().address(), Verb::Hello);
    packet.extend([12, 1, 14, 0, 1]);
    packet.extend(1_700_000_000_000u64.to_be_bytes());
    packet.extend(a().public().to_bytes());
    packet.extend([4, 192, 0, 2, 1, 0x27, 0x09]);
    packet.extend(149_604_618u64.to_be_bytes());
    packet.extend(1_644_592_324_813u64.to_be_bytes());
    let mut moons = [0, 0];
    keys().mask_hello_section(ID, &mut moons);
    packet.extend(moons);
    keys().seal(&mut packet, Suite::Poly1305);
    assert_eq!(
        packet,
        bytes(
            "010203040506070fd0e4e857375dc3cf6a4a004258fa36f9dc19da010c010e00010000018bcfe568005dc3cf\
             6a4a009559f010209ac0f8e17f6336771e15bcc0f9d9b24a5f60dccebc3056937cee7b5c726f87a5bb94bce4\
             084b13c5c3941a1a73665141af824fc334247193e6c0c20004c000020127090000000008eac90a0000017ee9\
             5760cdff04"
        )
    );
}

#[test]
fn compression() {
    let plain: Vec<u8> = [0, 1, 2, 3].iter().flat_map(|byte| [*byte; 50]).collect();
    let mut packet = packet::start(ID, b().address(), a().address(), Verb::Echo);
    let header = packet.clone();
    packet.truncate(packet::VERB_OFFSET);
    packet.extend(bytes(
        "881f0001001e1f0101001e1f0201001e1f03010019500303030303",
    ));
    packet::decompress(&mut packet).unwrap();
    assert_eq!(packet, [&header[..], &plain].concat());
    assert!(packet::compress(&mut packet));
    // Not necessarily to the same block.
    assert!(packet.len() < packet::VERB_OFFSET + 40, "{}", packet.len());
    packet::decompress(&mut packet).unwrap();
    assert_eq!(packet, [header, plain].concat());
}

#[test]
fn mac_addresses() {
    let node: Address = "0123456789".parse().unwrap();
    for (network, mac) in [
        (0x8056_c2e2_1c00_0001, "02:01:23:59:85:4b"),
        (0x8056_c2e2_1c00_0052, "32:01:23:59:85:4b"),
    ] {
        let network = NetworkId(network);
        assert_eq!(MacAddress::of(node, network).to_string(), mac);
        assert_eq!(
            MacAddress::of(node, network).to_address(network),
            Some(node)
        );
    }
}
