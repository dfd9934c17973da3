use super::*;
use crate::tar::tests::{gzip, tar};
use std::fs;

/// A folder with these files, each with the given first bytes.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn detect(path: &Path) -> Result<Source, DatasetError> {
    Source::detect(path.to_str().unwrap())
}

const IDX3: &[u8] = &[0, 0, 8, 3];
const IDX1: &[u8] = &[0, 0, 8, 1];

#[test]
fn mnist_folders_find_both_parts_and_their_labels() {
    let dir = folder(&[
        ("train-images-idx3-ubyte.gz", &[0x1f, 0x8b]),
        ("train-labels-idx1-ubyte", IDX1),
        ("t10k-images-idx3-ubyte", IDX3),
    ]);
    let at = |name: &str| dir.path().join(name);
    let train =
        Source::Idx { images: at("train-images-idx3-ubyte.gz"), labels: Some(at("train-labels-idx1-ubyte")) };
    assert_eq!(detect(dir.path()).unwrap(), train);
    assert_eq!(detect(&at("train-images-idx3-ubyte.gz")).unwrap(), train);
    let test = Source::detect(&format!("{}:test", dir.path().display())).unwrap();
    assert_eq!(test, Source::Idx { images: at("t10k-images-idx3-ubyte"), labels: None });
    assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
}

#[test]
fn a_lone_test_part_is_used_if_requested() {
    for name in ["t10k-images-idx3-ubyte", "test_batch.bin"] {
        let dir = folder(&[(name, IDX3)]);
        assert!(detect(dir.path()).unwrap_err().to_string().contains(":test"), "{name}");
        Source::detect(&format!("{}:test", dir.path().display())).unwrap();
    }
}

#[test]
fn cifar_folders_and_files() {
    let dir = folder(&[("cifar-10-batches-bin/data_batch_1.bin", &[0; 3073]), ("x.bin", &[0; 3073])]);
    let inner = dir.path().join("cifar-10-batches-bin");
    assert_eq!(detect(dir.path()).unwrap(), Source::Cifar { path: inner.clone() });
    assert_eq!(detect(&inner).unwrap(), Source::Cifar { path: inner });
    let file = dir.path().join("x.bin");
    assert_eq!(detect(&file).unwrap(), Source::Cifar { path: file });
    for name in ["data_batch_1", "cifar-10-python.tar.gz", "cifar-100-python/train"] {
        let pickles = folder(&[(name, b"\x80\x02")]);
        let error = detect(pickles.path()).unwrap_err().to_string();
        assert!(error.contains("binary version, cifar-10-binary.tar.gz"), "{name}: {error}");
    }
}

#[test]
fn cifar_as_it_is_downloaded() {
    let archive = gzip(&tar("cifar-10-batches-bin/", &[("data_batch_1.bin", &[0; 3073])]));
    let dir = folder(&[("cifar-10-binary.tar.gz", &archive), ("other-name", &archive)]);
    for path in
        [dir.path().to_owned(), dir.path().join("cifar-10-binary.tar.gz"), dir.path().join("other-name")]
    {
        let train = detect(&path).unwrap();
        let Source::CifarArchive { split: Split::Train, .. } = train else { panic!("{train:?}") };
        let spec = format!("{}:test", path.display());
        let test = Source::detect(&spec).unwrap();
        assert!(matches!(test, Source::CifarArchive { split: Split::Test, .. }), "{test:?}");
        assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
        let error = Source::detect(&format!("{}:validation", path.display())).unwrap_err().to_string();
        assert!(error.contains("found train and test"), "{error}");
    }
    let dir = folder(&[
        ("python", &gzip(&tar("cifar-10-batches-py/", &[("data_batch_1", b"\x80\x02")]))),
        ("photos", &gzip(&tar("photos/", &[("1.png", b"\x89PNG")]))),
    ]);
    let fail = |name: &str| detect(&dir.path().join(name)).unwrap_err().to_string();
    assert!(fail("python").contains("Python pickles, which are never read; use the binary version"));
    assert!(fail("photos").contains("a gzipped tar archive; unpack it"));
}

#[test]
fn shards_are_a_file_a_folder_or_a_pattern() {
    let shard = tar("./", &[("1.png", b"\x89PNG")]);
    let dir = folder(&[("a-0.tar", &shard), ("a-1.tar", &shard), ("sizes.json", b"{}"), ("other", b"x")]);
    let pattern = dir.path().join("a-{0..1}.tar");
    for path in [dir.path().to_owned(), dir.path().join("a-0.tar"), pattern] {
        assert_eq!(detect(&path).unwrap(), Source::Shards { path: path.clone(), split: None });
        let test = Source::detect(&format!("{}:test", path.display())).unwrap();
        assert_eq!(test, Source::Shards { path, split: Some(Split::Test) });
        assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
    }
    for (name, reason) in [
        ("a-{0..2}.tar", "there is no file"),
        ("a-{1..0}.tar", "is empty"),
        ("a-{x..1}.tar", "ranges such as"),
    ] {
        let error = detect(&dir.path().join(name)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // An archive without files is recognised by its name; zeros with another name are anything.
    for (name, length) in [("none.tar", 1024), ("none.TAR", 10_240)] {
        let dir = folder(&[(name, &vec![0; length])]);
        let path = dir.path().join(name);
        assert_eq!(detect(&path).unwrap(), Source::Shards { path, split: None });
    }
    for (name, length) in [("none", 1024), ("none.tar", 1000), ("none.tar", 512)] {
        let dir = folder(&[(name, &vec![0; length])]);
        assert!(detect(&dir.path().join(name)).is_err(), "{name} {length}");
    }
    // Beside images or folders, archives are not the dataset.
    let dir = folder(&[("a.tar", &shard), ("b/1.png", b"x")]);
    assert!(matches!(detect(dir.path()).unwrap(), Source::Folder { .. }));
}

#[test]
fn parquet_is_a_file_or_a_folder() {
    let dir = folder(&[("a.parquet", b"PAR1"), ("b.parquet", b"PAR1"), ("other", b"PAR1")]);
    for path in [dir.path().to_owned(), dir.path().join("other")] {
        assert_eq!(detect(&path).unwrap(), Source::Parquet { path: path.clone(), split: None });
        let test = Source::detect(&format!("{}:test", path.display())).unwrap();
        assert_eq!(test, Source::Parquet { path, split: Some(Split::Test) });
        assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
    }
    // Beside images they are not the dataset.
    let dir = folder(&[("a.parquet", b"PAR1"), ("1.png", b"x")]);
    assert!(matches!(detect(dir.path()).unwrap(), Source::Folder { .. }));
}

#[test]
fn arrays_by_content_not_by_name() {
    let dir = folder(&[("a.dat", b"\x93NUMPY\x01\x00"), ("b", b"PK\x03\x04")]);
    for name in ["a.dat", "b"] {
        let path = dir.path().join(name);
        assert_eq!(detect(&path).unwrap(), Source::Npz { path: path.clone(), split: None });
        for part in Split::ALL {
            let spec = format!("{}:{part}", path.display());
            assert_eq!(Source::detect(&spec).unwrap().to_string(), spec);
        }
    }
}

#[test]
fn folders_of_images_with_any_part() {
    let dir = folder(&[("train/a/1.png", b"x"), ("test/a/1.png", b"x")]);
    let path = dir.path().to_owned();
    assert_eq!(detect(&path).unwrap(), Source::Folder { path: path.clone(), split: None });
    let test = Source::detect(&format!("{}:Testing", path.display())).unwrap();
    assert_eq!(test, Source::Folder { path: path.clone(), split: Some(Split::Test) });
    assert_eq!(Source::detect(&test.to_string()).unwrap(), test);
    let error = Source::detect(&format!("{}:tset", path.display())).unwrap_err().to_string();
    assert!(error.contains("no part is called \"tset\""), "{error}");
}

#[test]
fn sources_without_parts_say_so() {
    let dir = folder(&[("a-idx3-ubyte", IDX3), ("x.bin", &[0; 3073])]);
    for name in ["a-idx3-ubyte", "x.bin"] {
        for part in Split::ALL {
            let error = Source::detect(&format!("{}:{part}", dir.path().join(name).display())).unwrap_err();
            assert!(matches!(error, DatasetError::NoPart { .. }), "{error}");
        }
    }
}

#[test]
fn other_containers_say_what_to_do() {
    let dir = folder(&[("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04"), ("a.h5", b"\x89HDF\r\n\x1a\n")]);
    for (name, reason) in [("a.7z", "a 7z archive; unpack it"), ("a.h5", "HDF5")] {
        let error = detect(&dir.path().join(name)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn anything_else_says_what_is_accepted() {
    let dir = folder(&[("a.txt", b"hello"), ("a.png", b"\x89PNG\r\n\x1a\n"), ("empty", b"")]);
    for (name, reason) in
        [("a.txt", "begins with"), ("a.png", "single image"), ("empty", "is empty"), ("no", "no such")]
    {
        let error = detect(&dir.path().join(name)).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("fashion-mnist"), "{error}");
    }
}
