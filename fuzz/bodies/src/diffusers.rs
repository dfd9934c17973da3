//! diffusers configurations: of a network, of a scheduler, and the index of weights in several files.

use std::path::Path;

use interchange::InterchangeError;
use interchange::diffusers::{parse_network, parse_scheduler, parse_shards};

/// Longer texts only repeat shorter ones.
const LENGTH: usize = 4096;

/// The first byte chooses which of the three follows.
pub(crate) fn body(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    let (path, bytes) = (Path::new("fuzz.json"), &bytes[..bytes.len().min(LENGTH)]);
    match which % 3 {
        0 => {
            let found = told(parse_network(path, bytes));
            assert_eq!(found, told(parse_network(path, bytes)));
            if let Some(network) = found {
                network.config.validate().expect("accepted input should be valid");
                assert_eq!(network.config.image_size, network.height.max(network.width));
            }
        }
        1 => {
            if let Some(scheduler) = told(parse_scheduler(path, bytes)) {
                let path = scheduler.schedule.path().expect("accepted input should be a schedule");
                assert!(scheduler.preferred.steps <= path.steps());
            }
        }
        _ => {
            for name in told(parse_shards(path, bytes)).unwrap_or_default() {
                let place = Path::new("folder").join(&name);
                assert_eq!(place.parent(), Some(Path::new("folder")), "{name}");
                assert!(!name.starts_with('.') && name.ends_with(".safetensors"), "{name}");
            }
        }
    }
}

/// A refusal is one short line that starts with the file name.
fn told<T>(result: Result<T, InterchangeError>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error.to_string(),
    };
    assert!(error.starts_with("fuzz.json: ") && !error.contains('\n'), "{error}");
    assert!(error.chars().count() < 1000, "{error}");
    None
}
