//! Expands `~`. A shell does so at the start of a word only: not in `--run=~/x`, and not in a configuration file.

use std::borrow::Cow;
use std::env;
use std::io;
use std::path::Path;

/// Replaces a leading `~` with the home folder. Write `./~` for a folder of that name.
///
/// # Errors
/// `NotFound` when the home folder is not known.
pub fn expand_home(path: &Path) -> io::Result<Cow<'_, Path>> {
    let Ok(rest) = path.strip_prefix("~") else { return Ok(Cow::Borrowed(path)) };
    let Some(home) = env::home_dir().filter(|home| home.is_absolute()) else {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "cannot expand ~: HOME does not name an absolute path",
        ));
    };
    Ok(Cow::Owned(if rest.as_os_str().is_empty() { home } else { home.join(rest) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leading_tilde_is_the_home_folder() {
        let home = env::home_dir().unwrap();
        let expanded = |path: &'static str| expand_home(Path::new(path)).unwrap().into_owned();
        assert_eq!(expanded("~/a/b"), home.join("a/b"));
        assert_eq!(expanded("~").as_os_str(), home.as_os_str());
        for same in ["./~/a", "a/~", "~user/a", "~~", "", "/~/a"] {
            assert_eq!(expanded(same), Path::new(same));
        }
    }
}
