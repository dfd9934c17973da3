//! The trained model that is built into the program: `fashion-28`, garments of ten classes at 28x28 pixels. Its card is
//! `assets/models/fashion-28.md`. Example: `cargo run -p shipped --example describe`.

/// The name of the model.
pub const NAME: &str = "fashion-28";

/// The bytes of a file of `ddpm export`: safetensors with f16 weights, and the configuration in the header. `None` if the crate
/// was built without the feature `model`.
#[must_use]
pub fn file() -> Option<&'static [u8]> {
    FILE
}

#[cfg(feature = "model")]
const FILE: Option<&[u8]> = Some(include_bytes!("../assets/fashion-28.safetensors"));
#[cfg(not(feature = "model"))]
const FILE: Option<&[u8]> = None;

#[cfg(all(test, feature = "model"))]
mod tests {
    use super::*;
    use std::path::Path;
    use tensor_file::Dtype;

    /// Largest size of the file, which is part of every program.
    const MOST_BYTES: usize = 6_000_000;

    #[test]
    fn it_is_a_small_file_of_half_precision() {
        let file = file().unwrap();
        assert!(file.len() <= MOST_BYTES, "{} bytes", file.len());
        let header = tensor_file::parse(Path::new(NAME), file).unwrap();
        assert!(header.tensors.contains_key("conv_in.weight"));
        assert!(header.tensors.values().all(|tensor| tensor.dtype == Dtype::F16));
    }

    /// The embedded images stand for those of its training, whose place on the machine that trained it is nobody's business.
    #[test]
    fn its_configuration_names_classes_and_no_folder() {
        let header = tensor_file::parse(Path::new(NAME), file().unwrap()).unwrap();
        let config: toml::Table = header.metadata["ddpm.config"].parse().unwrap();
        assert_eq!(config["data"]["source"].as_str(), Some("fashion-mnist"));
        assert!(!config.contains_key("init"), "{:?}", config["init"]);
        assert_eq!(config["model"]["classes"].as_integer(), Some(10));
        let names = config["images"]["class_names"].as_array().unwrap();
        assert!(names.len() == 10 && names.iter().any(|name| name.as_str() == Some("Sneaker")), "{names:?}");
        assert!(header.metadata["ddpm.step"].parse::<u64>().unwrap() > 0);
    }
}
