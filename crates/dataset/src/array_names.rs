//! Finds the images and labels of an `.npz` archive by the usual array names.

use crate::error::DatasetError;
use crate::split::Split;

/// Names of images and of their labels if no part is named. `labels` and `y` go with either name for the images.
const PLAIN: [(&str, &[&str]); 3] =
    [("images", &["labels", "y"]), ("x", &["y", "labels"]), ("arr_0", &["arr_1"])];

/// The names of the images and labels in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen<'a> {
    pub(crate) images: &'a str,
    pub(crate) labels: Option<&'a str>,
}

/// Chooses among the names of an archive, ignoring case: `train_images` and `train_labels`, `x_train` and `y_train`,
/// and the same for other parts. If no part is requested, takes the training part or `images`, `x`, `arr_0`. `file` is
/// for error messages.
///
/// # Errors
/// [`DatasetError::NoPart`] if there are only other parts; [`DatasetError::Unsuitable`].
pub(crate) fn choose<'a>(
    file: &str,
    names: &'a [String],
    part: Option<Split>,
) -> Result<Chosen<'a>, DatasetError> {
    let find = |wanted: &str| names.iter().find(|n| n.eq_ignore_ascii_case(wanted)).map(String::as_str);
    let asked = part.unwrap_or_default();
    if let Some(chosen) = of_part(asked, &find) {
        return Ok(chosen);
    }
    let plain = PLAIN.iter().find_map(|(images, labels)| {
        let images = find(images)?;
        Some(Chosen { images, labels: labels.iter().find_map(|name| find(name)) })
    });
    match (part, plain) {
        (None, Some(chosen)) => return Ok(chosen),
        (Some(asked), Some(_)) => {
            return Err(DatasetError::NoPart { file: file.to_owned(), asked, found: there(&find) });
        }
        (_, None) => {}
    }
    let found = there(&find);
    if !found.is_empty() {
        return Err(DatasetError::NoPart { file: file.to_owned(), asked, found });
    }
    let plain = PLAIN.map(|(images, _)| images);
    let expected = format!("an array named {asked}_images, x_{asked} or one of {plain:?}");
    Err(DatasetError::unsuitable(file, expected, format!("{names:?}")))
}

fn of_part<'a>(part: Split, find: &impl Fn(&str) -> Option<&'a str>) -> Option<Chosen<'a>> {
    part.names().iter().find_map(|part| {
        let pairs = [
            (format!("{part}_images"), format!("{part}_labels")),
            (format!("x_{part}"), format!("y_{part}")),
            (format!("{part}_x"), format!("{part}_y")),
        ];
        pairs.iter().find_map(|(images, labels)| Some(Chosen { images: find(images)?, labels: find(labels) }))
    })
}

fn there<'a>(find: &impl Fn(&str) -> Option<&'a str>) -> Vec<Split> {
    Split::ALL.into_iter().filter(|part| of_part(*part, find).is_some()).collect()
}

impl Chosen<'_> {
    /// A note on what was used, if something was left out.
    pub(crate) fn note(&self, names: &[String]) -> Option<String> {
        let taken = |name: &&String| *name == self.images || Some(name.as_str()) == self.labels;
        let left: Vec<&str> = names.iter().filter(|name| !taken(name)).map(String::as_str).collect();
        let labels = self.labels.map(|name| format!(" and labels from {name}")).unwrap_or_default();
        (!left.is_empty())
            .then(|| format!("images come from {}{labels}; left out: {}", self.images, left.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], part: Option<Split>) -> Result<(String, Option<String>), String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let chosen = choose("a.npz", &names, part).map_err(|e| e.to_string())?;
        Ok((chosen.images.to_owned(), chosen.labels.map(str::to_owned)))
    }

    #[test]
    fn parts_and_plain_names_in_any_case() {
        let names = ["X_train", "Y_train", "X_val", "x", "y"];
        assert_eq!(chosen(&names, None).unwrap(), ("X_train".to_owned(), Some("Y_train".to_owned())));
        assert_eq!(chosen(&names, Some(Split::Validation)).unwrap(), ("X_val".to_owned(), None));
        assert_eq!(chosen(&["X", "labels"], None).unwrap(), ("X".to_owned(), Some("labels".to_owned())));
    }

    #[test]
    fn errors_for_missing_arrays_name_the_others() {
        let text = chosen(&["x_train", "x_val"], Some(Split::Test)).unwrap_err();
        assert!(text.contains("expected a test part, found train and validation"), "{text}");
        let text = chosen(&["test_images"], None).unwrap_err();
        assert!(text.contains("append :test"), "{text}");
        let text = chosen(&["images"], Some(Split::Train)).unwrap_err();
        assert!(text.contains("found no parts"), "{text}");
        assert!(chosen(&["z"], None).unwrap_err().contains(r#"found ["z"]"#));
    }
}
