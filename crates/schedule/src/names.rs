//! Gives a type with named values `NAMES`, `name`, [`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display),
//! from one list.

/// `named!(Type, "what it is": "name" => Variant { field: usual value }, ...)`.
macro_rules! named {
    ($type:ident, $what:literal: $($name:literal => $variant:ident $({ $($field:ident: $usual:expr),+ })?),+ $(,)?) => {
        impl $type {
            /// The names that [`FromStr`](std::str::FromStr) knows.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Its name, without its parameters.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name),+
                }
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::ScheduleError;

            fn from_str(name: &str) -> Result<Self, $crate::ScheduleError> {
                match name {
                    $($name => Ok(Self::$variant $({ $($field: $usual),+ })?),)+
                    _ => Err($crate::ScheduleError::UnknownName {
                        what: $what,
                        got: name.to_owned(),
                        expected: Self::NAMES,
                    }),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use crate::{LossWeight, Prediction, Spacing, Variance};

    #[test]
    fn every_name_round_trips_and_an_unknown_one_lists_the_valid() {
        fn check<T>(names: &[&str], what: &str)
        where
            T: std::str::FromStr<Err = crate::ScheduleError> + std::fmt::Display + std::fmt::Debug,
        {
            for name in names {
                assert_eq!(name.parse::<T>().unwrap().to_string(), *name);
            }
            let error = "no such".parse::<T>().unwrap_err().to_string();
            let list = names.join(", ");
            assert_eq!(error, format!("unknown {what} \"no such\", expected one of: {list}"));
        }
        check::<Prediction>(Prediction::NAMES, "prediction");
        check::<LossWeight>(LossWeight::NAMES, "loss weight");
        check::<Spacing>(Spacing::NAMES, "spacing");
        check::<Variance>(Variance::NAMES, "variance");
    }
}
