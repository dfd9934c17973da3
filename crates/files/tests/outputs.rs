//! What an output path may name: links, modes, pipes, devices, folders.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test, and its helpers")]

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use files::{try_output, write_atomic, write_output, write_output_with};
use tempfile::TempDir;

fn place() -> (TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, move |name| path.join(name))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Creates a character device of the kernel's memory driver; returns false where the system does not allow it.
fn device(path: &Path, minor: &str) -> bool {
    let made = Command::new("mknod").arg(path).args(["c", "1", minor]).output();
    // On file systems without devices it can be created but not opened.
    let there =
        made.is_ok_and(|made| made.status.success()) && fs::OpenOptions::new().write(true).open(path).is_ok();
    if !there {
        let _ = writeln!(io::stderr(), "skipped: devices cannot be made here");
    }
    there
}

#[test]
fn the_mode_of_a_replaced_file_is_kept() {
    let (folder, at) = place();
    for mode in [0o600, 0o640, 0o444, 0o755] {
        fs::write(at("a"), "old").unwrap();
        fs::set_permissions(at("a"), fs::Permissions::from_mode(mode)).unwrap();
        for (write, text) in
            [(write_atomic as fn(&Path, &[u8]) -> io::Result<()>, "own"), (write_output, "output")]
        {
            write(&at("a"), text.as_bytes()).unwrap();
            assert_eq!(fs::metadata(at("a")).unwrap().mode() & 0o7777, mode, "{text}");
        }
        fs::remove_file(at("a")).unwrap();
    }
    assert!(names(folder.path()).is_empty());
}

/// Nobody else can read the new content while it is being written.
#[test]
fn a_private_file_is_never_public() {
    let (folder, at) = place();
    fs::write(at("a"), "old").unwrap();
    fs::set_permissions(at("a"), fs::Permissions::from_mode(0o600)).unwrap();
    write_output_with(&at("a"), |_| {
        let hidden = names(folder.path()).into_iter().find(|name| name.starts_with('.')).unwrap();
        assert_eq!(fs::metadata(at(&hidden)).unwrap().mode() & 0o777, 0o600);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_output_goes_where_a_link_leads() {
    let (_folder, at) = place();
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/a"), "old").unwrap();
    fs::set_permissions(at("elsewhere/a"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("elsewhere/a", at("first")).unwrap();
    symlink(at("first"), at("second")).unwrap();
    symlink("elsewhere/new/b", at("dangling")).unwrap();
    for (link, target) in [("second", "elsewhere/a"), ("dangling", "elsewhere/new/b")] {
        try_output(&at(link)).unwrap();
        write_output(&at(link), b"new").unwrap();
        assert!(at(link).is_symlink(), "{link}");
        assert_eq!(fs::read(at(target)).unwrap(), b"new");
    }
    assert_eq!(fs::metadata(at("elsewhere/a")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(names(&at("elsewhere")), ["a", "new"]);

    symlink("circle", at("circle")).unwrap();
    assert!(try_output(&at("circle")).is_err() && write_output(&at("circle"), b"").is_err());
}

#[test]
fn links_in_our_own_folder_are_replaced() {
    let (_folder, at) = place();
    fs::write(at("theirs"), "theirs").unwrap();
    symlink("theirs", at("link")).unwrap();
    write_atomic(&at("link"), b"ours").unwrap();
    assert!(!at("link").is_symlink());
    assert_eq!(
        (fs::read(at("link")).unwrap(), fs::read(at("theirs")).unwrap()),
        (b"ours".to_vec(), b"theirs".to_vec())
    );
}

#[test]
fn a_pipe_is_written_to() {
    let (folder, at) = place();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let path = at("pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    try_output(&at("pipe")).unwrap();
    write_output(&at("pipe"), "through".repeat(100_000).as_bytes()).unwrap();
    assert_eq!(reader.join().unwrap(), "through".repeat(100_000));
    assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(write_atomic(&at("pipe"), b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(names(folder.path()), ["pipe"]);
}

#[test]
fn a_device_stays_one() {
    let (folder, at) = place();
    if !device(&at("null"), "3") || !device(&at("full"), "7") {
        return;
    }
    symlink("null", at("link")).unwrap();
    for name in ["null", "link"] {
        try_output(&at(name)).unwrap();
        write_output(&at(name), &[7; 100_000]).unwrap();
        assert!(fs::metadata(at(name)).unwrap().file_type().is_char_device(), "{name}");
    }
    assert_eq!(write_output(&at("full"), b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(write_atomic(&at("null"), b"x").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(fs::metadata(at("null")).unwrap().file_type().is_char_device());
    assert_eq!(names(folder.path()), ["full", "link", "null"]);
}

#[test]
fn folders_and_sockets_are_refused() {
    let (folder, at) = place();
    fs::create_dir(at("folder")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for (name, kind) in [("folder", io::ErrorKind::IsADirectory), ("socket", io::ErrorKind::InvalidInput)] {
        assert_eq!(write_output(&at(name), b"").unwrap_err().kind(), kind);
        assert_eq!(write_atomic(&at(name), b"").unwrap_err().kind(), kind);
    }
    assert_eq!(names(folder.path()), ["folder", "socket"]);
}

/// The temporary name is longer than the file's, and names are limited to 255 bytes.
#[test]
fn the_longest_names_can_be_written() {
    use std::os::unix::ffi::OsStringExt;
    let (folder, at) = place();
    let strange = std::ffi::OsString::from_vec([b"\xff\xfe\n".as_slice(), &[0xf0; 252]].concat());
    for path in [at(&"x".repeat(255)), at(&"\u{1f600}".repeat(63)), folder.path().join(strange)] {
        write_output(&path, b"a").unwrap();
        write_atomic(&path, b"b").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"b");
        fs::remove_file(&path).unwrap();
    }
    assert!(names(folder.path()).is_empty());
}
