//! `recipes/index.toml`: the recipes, and what each needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::process::Exit;

/// The folder of the recipes, from the root of the workspace.
pub(super) const FOLDER: &str = "recipes";

/// All recipes, in the order of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    #[serde(rename = "recipe")]
    pub(super) recipes: Vec<Recipe>,
    #[serde(skip)]
    folder: PathBuf,
}

/// A reproducible training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) data: Data,
    pub(super) machine: Machine,
    /// Flags of `ddpm evaluate`.
    pub(super) evaluate: Vec<String>,
    /// Changes that make 20 steps quick, for the end-to-end test.
    #[allow(dead_code, reason = "used by the end-to-end tests")]
    pub(super) reduced: Vec<String>,
}

/// What `--data` must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Data {
    Embedded,
    FashionMnist,
    Mnist,
    #[serde(rename = "cifar-10")]
    Cifar10,
    Folder,
}

/// The hardware that a training of its length needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Machine {
    Cpu,
    Gpu,
}

impl Data {
    /// In words; `None` if no data is needed.
    pub(super) fn wanted(self) -> Option<&'static str> {
        match self {
            Self::Embedded => None,
            Self::FashionMnist => Some("train-images-idx3-ubyte.gz of Fashion-MNIST"),
            Self::Mnist => Some("train-images-idx3-ubyte.gz of MNIST"),
            Self::Cifar10 => Some("the folder cifar-10-batches-bin"),
            Self::Folder => Some("a folder of images"),
        }
    }
}

impl Index {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let folder = root.join(FOLDER);
        let path = folder.join("index.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut index: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        index.folder = folder;
        for (number, recipe) in index.recipes.iter().enumerate() {
            let twice = index.recipes[..number].iter().any(|other| other.name == recipe.name);
            ensure!(!twice, "{}: {} is listed twice", path.display(), recipe.name);
        }
        Ok(index)
    }

    /// The recipe with this name.
    pub(super) fn find(&self, name: &str) -> anyhow::Result<&Recipe> {
        let names = || self.recipes.iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.recipes.iter().find(|recipe| recipe.name == name);
        found.ok_or_else(|| {
            Exit::usage(format!("{name}: expected one of {}, found no such recipe", names())).into()
        })
    }

    /// The path of its configuration.
    pub(super) fn config(&self, recipe: &Recipe) -> PathBuf {
        self.folder.join(format!("{}.toml", recipe.name))
    }

    /// Its description: the leading comment of its file, in one line.
    pub(super) fn about(&self, recipe: &Recipe) -> anyhow::Result<String> {
        let path = self.config(recipe);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let comment = text.lines().map_while(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ");
        ensure!(!comment.is_empty(), "{}: expected a leading comment that describes it", path.display());
        Ok(comment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn every_file_is_listed_and_says_what_it_is() {
        let workspace = Workspace::find().unwrap();
        let index = Index::read(workspace.root()).unwrap();
        let mut listed: Vec<PathBuf> = index.recipes.iter().map(|recipe| index.config(recipe)).collect();
        for recipe in &index.recipes {
            assert!(index.about(recipe).unwrap().ends_with('.'), "{}", recipe.name);
        }
        let files = fs::read_dir(workspace.root().join(FOLDER)).unwrap().map(|entry| entry.unwrap().path());
        let toml = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
        let mut there: Vec<PathBuf> =
            files.filter(|path| toml(path) && !path.ends_with("index.toml")).collect();
        listed.sort();
        there.sort();
        assert_eq!(listed, there);
        assert!(index.find("defualt").unwrap_err().to_string().contains("default, "));
    }
}
