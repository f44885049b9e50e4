//! What every store must do, and what the directory of a home must do.

use serde_json::json;

use super::memory::MemoryStore;
use super::*;

const A: NetworkId = NetworkId(0x4b3e_5f84_e842_c20d);
const B: NetworkId = NetworkId(0x1111_1111_1111_1111);
const M: Address = Address::from_u64(0x5c_d0ba_70f5);
const N: Address = Address::from_u64(0xca_f20f_3e73);

fn record(revision: u64, name: &str) -> Record {
    Record::from_iter([
        ("revision".to_owned(), json!(revision)),
        ("name".to_owned(), json!(name)),
        ("list".to_owned(), json!([null, { "a": 1.5, "ä": "\u{0}" }])),
    ])
}

/// The contract of [`Store`]. `reopen` gives a store with the same records.
fn shared_store_test<S: Store>(mut store: S, reopen: impl Fn(S) -> S) {
    assert_eq!(store.load().unwrap(), []);
    store.put_network(A, &record(1, "a")).unwrap();
    store.put_member(A, N, &record(1, "n")).unwrap();
    store.put_member(A, M, &record(1, "m")).unwrap();
    store.put_network(B, &record(1, "b")).unwrap();
    store.put_member(B, M, &record(1, "m in b")).unwrap();
    store.put_network(A, &record(2, "a again")).unwrap();
    store.put_member(A, M, &record(2, "m again")).unwrap();
    let everything = [
        StoredNetwork {
            id: B,
            record: record(1, "b"),
            members: vec![(M, record(1, "m in b"))],
        },
        StoredNetwork {
            id: A,
            record: record(2, "a again"),
            members: vec![(M, record(2, "m again")), (N, record(1, "n"))],
        },
    ];
    assert_eq!(store.load().unwrap(), everything);
    let mut store = reopen(store);
    assert_eq!(store.load().unwrap(), everything);
    store.delete_member(A, M).unwrap();
    store.delete_member(A, M).unwrap();
    store.delete_network(B).unwrap();
    store.delete_network(B).unwrap();
    let mut store = reopen(store);
    let [ref left] = store.load().unwrap()[..] else {
        panic!("one network is left")
    };
    assert_eq!(left.id, A);
    assert_eq!(left.members, [(N, record(1, "n"))]);
    store.put_network(B, &record(7, "b")).unwrap();
    let networks = store.load().unwrap();
    assert!(networks[0].members.is_empty());
}

#[test]
fn memory() {
    shared_store_test(MemoryStore::new(), |store| store);
}

#[test]
fn sqlite() {
    let path = scratch_directory("shared").join(DATABASE);
    shared_store_test(SqliteStore::open(&path).unwrap(), |store| {
        drop(store);
        SqliteStore::open(&path).unwrap()
    });
}

#[test]
fn directory() {
    let path = scratch_directory("directory").join("controller.d");
    shared_store_test(open_directory(&path).unwrap(), |store| {
        drop(store);
        open_directory(&path).unwrap()
    });
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

impl Store for Box<dyn Store> {
    fn load(&mut self) -> Result<Vec<StoredNetwork>, StoreError> {
        (**self).load()
    }
    fn put_network(&mut self, id: NetworkId, record: &Record) -> Result<(), StoreError> {
        (**self).put_network(id, record)
    }
    fn delete_network(&mut self, id: NetworkId) -> Result<(), StoreError> {
        (**self).delete_network(id)
    }
    fn put_member(&mut self, n: NetworkId, m: Address, r: &Record) -> Result<(), StoreError> {
        (**self).put_member(n, m, r)
    }
    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError> {
        (**self).delete_member(network, member)
    }
}

fn json_file(directory: &Path, member: Option<Address>) -> std::path::PathBuf {
    let networks = directory.join("network");
    match member {
        None => networks.join(format!("{A}.json")),
        Some(member) => networks.join(format!("{A}/member/{member}.json")),
    }
}

#[test]
fn json_files_follow_every_change() {
    let directory = scratch_directory("mirror");
    let mut store = open_directory(&directory).unwrap();
    store.put_network(A, &record(1, "a")).unwrap();
    store.put_member(A, M, &record(1, "m")).unwrap();
    for (member, name) in [(None, "a"), (Some(M), "m")] {
        let content = fs::read_to_string(json_file(&directory, member)).unwrap();
        assert_eq!(content, text(&record(1, name)));
    }
    store.delete_member(A, M).unwrap();
    assert!(!json_file(&directory, Some(M)).exists());
    store.put_member(A, M, &record(1, "m")).unwrap();
    store.delete_network(A).unwrap();
    let left: Vec<_> = fs::read_dir(directory.join("network")).unwrap().collect();
    assert!(left.is_empty());
}

#[test]
fn files_of_the_reference_are_taken_over() {
    let directory = scratch_directory("take-over");
    fs::create_dir_all(directory.join(format!("network/{A}/member"))).unwrap();
    let write = |member, content: &str| fs::write(json_file(&directory, member), content).unwrap();
    write(None, &text(&record(5, "a")));
    write(Some(M), &text(&record(3, "m")));
    write(Some(N), "{ broken");
    fs::write(directory.join("network/notes.json"), "{}").unwrap();
    let load = || open_directory(&directory).unwrap().load().unwrap();
    let networks = load();
    assert_eq!(networks.len(), 1);
    assert_eq!(networks[0].record, record(5, "a"));
    assert_eq!(networks[0].members, [(M, record(3, "m"))]);
    let broken = fs::read_to_string(json_file(&directory, Some(N))).unwrap();
    assert_eq!(broken, "{ broken");
    assert_eq!(load(), networks);
    // Changed by the reference in the meantime, and edited by hand.
    write(None, &text(&record(6, "newer")));
    write(Some(M), &text(&record(3, "edited")));
    let networks = load();
    assert_eq!(networks[0].record, record(6, "newer"));
    assert_eq!(networks[0].members, [(M, record(3, "edited"))]);
    // Older files are brought up to date, and missing ones if it is not known that there were any.
    write(None, &text(&record(2, "older")));
    fs::remove_file(json_file(&directory, Some(M))).unwrap();
    fs::remove_file(directory.join(mirror::MARKER)).unwrap();
    assert_eq!(load(), networks);
    let content = fs::read_to_string(json_file(&directory, None)).unwrap();
    assert_eq!(content, text(&record(6, "newer")));
    assert!(json_file(&directory, Some(M)).exists());
}

/// A directory with network A, its members M and N, and network B.
fn mirrored(name: &str) -> std::path::PathBuf {
    let directory = scratch_directory(name);
    let mut store = open_directory(&directory).unwrap();
    store.load().unwrap();
    store.put_network(A, &record(3, "a")).unwrap();
    store.put_member(A, M, &record(1, "m")).unwrap();
    store.put_member(A, N, &record(1, "n")).unwrap();
    store.put_network(B, &record(1, "b")).unwrap();
    directory
}

fn reload(directory: &Path) -> Vec<StoredNetwork> {
    let loaded = open_directory(directory).unwrap().load().unwrap();
    // What was decided at the first start is no other at the second.
    assert_eq!(open_directory(directory).unwrap().load().unwrap(), loaded);
    loaded
}

#[test]
fn what_the_reference_deleted_stays_deleted() {
    let directory = mirrored("deleted");
    assert_eq!(reload(&directory).len(), 2);
    fs::remove_file(json_file(&directory, Some(M))).unwrap();
    let [_, a] = &reload(&directory)[..] else {
        panic!("both networks are there")
    };
    assert_eq!(a.members, [(N, record(1, "n"))]);
    fs::remove_file(json_file(&directory, None)).unwrap();
    fs::remove_dir_all(directory.join(format!("network/{A}"))).unwrap();
    let [b] = &reload(&directory)[..] else {
        panic!("only network B is left")
    };
    assert_eq!(b.id, B);
    fs::remove_file(directory.join(format!("network/{B}.json"))).unwrap();
    assert_eq!(reload(&directory), []);
}

#[test]
fn a_network_made_again_under_the_same_id_has_no_old_members() {
    let directory = mirrored("again");
    fs::remove_dir_all(directory.join(format!("network/{A}"))).unwrap();
    let mut again = record(1, "made again");
    again.insert("creationTime".to_owned(), json!(7));
    fs::write(json_file(&directory, None), text(&again)).unwrap();
    let [_, a] = &reload(&directory)[..] else {
        panic!("both networks are there")
    };
    assert_eq!((&a.record, &a.members[..]), (&again, &[][..]));
}

#[test]
fn lost_directories_are_restored() {
    let directory = mirrored("lost");
    let everything = reload(&directory);
    fs::remove_dir_all(directory.join(format!("network/{A}/member"))).unwrap();
    assert_eq!(reload(&directory), everything);
    fs::remove_dir_all(directory.join("network")).unwrap();
    assert_eq!(reload(&directory), everything);
    assert!(json_file(&directory, Some(N)).exists());
}

#[test]
fn records_whose_files_could_not_be_written_are_no_deletions() {
    let directory = mirrored("unwritable");
    let mut store = open_directory(&directory).unwrap();
    store.load().unwrap();
    // A file in the place of the directory that the new member's file needs.
    let in_the_way = directory.join(format!("network/{B}"));
    fs::write(&in_the_way, "").unwrap();
    store.put_member(B, M, &record(1, "m")).unwrap();
    assert!(!directory.join(mirror::MARKER).exists());
    drop(store);
    fs::remove_file(in_the_way).unwrap();
    let [b, _] = &reload(&directory)[..] else {
        panic!("both networks are there")
    };
    assert_eq!(b.members, [(M, record(1, "m"))]);
    assert!(directory.join(mirror::MARKER).exists());
}

#[test]
fn upper_case_names_are_understood_and_corrected() {
    let directory = scratch_directory("upper-case");
    let networks = directory.join("network");
    let upper = format!("{A}").to_uppercase();
    fs::create_dir_all(networks.join(format!("{upper}/member"))).unwrap();
    fs::write(
        networks.join(format!("{upper}.json")),
        text(&record(1, "a")),
    )
    .unwrap();
    let member = format!("{upper}/member/{}.json", format!("{M}").to_uppercase());
    fs::write(networks.join(member), text(&record(1, "m"))).unwrap();
    let [a] = &reload(&directory)[..] else {
        panic!("one network")
    };
    assert_eq!((a.id, &a.members[..]), (A, &[(M, record(1, "m"))][..]));
    assert!(json_file(&directory, Some(M)).exists());
    // The right spelling has precedence.
    let wrong =
        json_file(&directory, Some(M)).with_file_name(format!("{M}").to_uppercase() + ".json");
    fs::write(&wrong, text(&record(9, "other"))).unwrap();
    let [a] = &reload(&directory)[..] else {
        panic!("one network")
    };
    assert_eq!(a.members, [(M, record(1, "m"))]);
    assert!(wrong.exists());
}

#[test]
fn links_are_written_through() {
    let directory = scratch_directory("links");
    let mut store = open_directory(&directory).unwrap();
    store.put_network(A, &record(1, "a")).unwrap();
    let elsewhere = directory.join("elsewhere.json");
    fs::rename(json_file(&directory, None), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, json_file(&directory, None)).unwrap();
    store.put_network(A, &record(2, "a")).unwrap();
    assert!(json_file(&directory, None).is_symlink());
    assert_eq!(
        fs::read_to_string(elsewhere).unwrap(),
        text(&record(2, "a"))
    );
}
