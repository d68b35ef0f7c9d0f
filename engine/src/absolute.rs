//! Absolute paths without `..`, as people read them.

use std::path::{Component, Path, PathBuf};

/// Makes a path absolute and takes `FOLDER/..` out of it, except where the folder is a link and so leads elsewhere.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        let ends_in_name = matches!(plain.components().next_back(), Some(Component::Normal(_)));
        // A folder that is missing stays too, so that the path remains wrong.
        if part == Component::ParentDir && ends_in_name && plain.symlink_metadata().is_ok_and(|it| it.is_dir()) {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_left_out_with_the_dots_after_them_unless_they_are_links() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = dir.path();
        std::fs::create_dir_all(root.join("study/inner")).expect("the folder is writable");
        assert_eq!(absolute(&root.join("study/inner/../../scan/x.png")), root.join("scan/x.png"));
        assert_eq!(absolute(&root.join("none/../scan")), root.join("none/../scan"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("study/inner"), root.join("link")).expect("links can be made");
            assert_eq!(absolute(&root.join("link/../scan")), root.join("link/../scan"));
        }
    }
}
