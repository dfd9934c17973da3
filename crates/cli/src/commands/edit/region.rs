//! Checks a rectangle that a flag names.

pub(crate) use dataset::Region;
use dataset::RegionError;

use crate::failure::bail_usage;

/// Refuses a rectangle that is empty or not within the network's images; `size` is their rows and columns.
pub(crate) fn check(region: &Region, flag: &str, size: (usize, usize)) -> anyhow::Result<()> {
    match region.check(size) {
        Ok(()) => Ok(()),
        Err(error @ RegionError::Outside { .. }) => bail_usage!("{flag} {region}: {error} for this network"),
        Err(error) => bail_usage!("{flag} {region}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_flag_and_the_rectangle() {
        let message = |text: &str| {
            check(&text.parse().unwrap(), "--box", (4, 6)).map_err(|error| error.to_string()).unwrap_err()
        };
        assert_eq!(message("0,0,0,1"), "--box 0,0,0,1: expected a width and a height of 1 or more");
        assert_eq!(
            message("0,0,7,4"),
            "--box 0,0,7,4: reaches beyond the image, which has 6 columns and 4 rows for this network"
        );
        check(&"0,0,6,4".parse().unwrap(), "--box", (4, 6)).unwrap();
    }
}
