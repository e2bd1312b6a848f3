//! Folders that the disk knows of: a name that a file or a folder got is lost with the power unless the folder it stands in is synced.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// Makes a folder and those above it, for the account alone, each known to the disk. One that is there stays as it is.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    if let Err(error) = DirBuilder::new().mode(0o700).create(folder) {
        match error.kind() {
            // Made meanwhile; the one that made it may not have flushed it yet.
            io::ErrorKind::AlreadyExists if folder.is_dir() => {}
            io::ErrorKind::NotFound if folder != above(folder) => {
                create_folder(above(folder))?;
                return create_folder(folder);
            }
            _ => return Err(error),
        }
    }
    match sync_folder(above(folder)) {
        // One that does not show what it has cannot be opened.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Puts the names in a folder on the disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder in which a file or a folder stands; the root stands in itself.
pub(super) fn above(path: &Path) -> &Path {
    match path.parent() {
        None => path,
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::{fs::PermissionsExt as _, fs::symlink},
    };

    #[test]
    fn folder_is_made_with_those_above_it_for_the_account_alone() {
        let place = tempfile::tempdir().unwrap();
        let (upper, folder) = (place.path().join("a"), place.path().join("a/b/c"));
        for _ in 0..2 {
            create_folder(&folder).unwrap();
        }
        for made in [&upper, &folder] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700, "{}", made.display());
        }
        // What is there keeps its rights, and a link to a folder is one.
        fs::set_permissions(&upper, fs::Permissions::from_mode(0o750)).unwrap();
        create_folder(&upper).unwrap();
        assert_eq!(fs::metadata(&upper).unwrap().permissions().mode() & 0o777, 0o750);
        let link = place.path().join("link");
        symlink(&upper, &link).unwrap();
        create_folder(&link).unwrap();
        create_folder(Path::new("/")).unwrap();
    }

    #[test]
    fn file_in_the_place_of_a_folder_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "text").unwrap();
        for folder in [file.clone(), file.join("below")] {
            assert!(create_folder(&folder).is_err(), "{}", folder.display());
        }
        assert!(create_folder(Path::new("")).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"text");
    }

    #[test]
    fn every_path_stands_in_a_folder_that_can_be_synced() {
        for (path, wanted) in [("/a/b", "/a"), ("/a", "/"), ("/", "/"), ("a", "."), ("a/b", "a")] {
            assert_eq!(above(Path::new(path)), Path::new(wanted), "{path}");
        }
        sync_folder(above(Path::new("a"))).unwrap();
        assert!(sync_folder(Path::new("/nowhere")).is_err());
    }
}
