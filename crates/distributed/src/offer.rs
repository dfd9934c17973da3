//! What ranks tell each other about NCCL, and what they conclude from it.

/// What a rank tells the others before they choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Whether it takes nothing but NCCL.
    pub(crate) demands: bool,
    /// Its GPU and the version of its NCCL, or why it cannot.
    pub(crate) can: Result<(String, String), String>,
}

impl Offer {
    /// A line each for what it demands, whether it can, and the rest.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let demands = if self.demands { "nccl" } else { "any" };
        match &self.can {
            Ok((gpu, version)) => format!("{demands}\ncan\n{gpu}\n{version}"),
            Err(reason) => format!("{demands}\ncannot\n{}", one_line(reason)),
        }
        .into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().collect();
        let (demands, can) = match lines[..] {
            [demands, "can", gpu, version] => (demands, Ok((gpu.to_owned(), version.to_owned()))),
            [demands, "cannot", reason] => (demands, Err(reason.to_owned())),
            _ => ("", Err("it is another version of this program".to_owned())),
        };
        Self { demands: demands == "nccl", can }
    }
}

/// What all ranks conclude from the offers of all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Whether some rank takes nothing but NCCL.
    pub(crate) demands: bool,
    /// The first rank that prevents NCCL, and why.
    pub(crate) obstacle: Option<(usize, String)>,
}

impl Choice {
    pub(crate) fn of(offers: &[Vec<u8>]) -> Self {
        let offers: Vec<Offer> = offers.iter().map(|bytes| Offer::from_bytes(bytes)).collect();
        let obstacle = offers.iter().enumerate().find_map(|(rank, offer)| {
            let (gpu, version) = match &offer.can {
                Ok(can) => can,
                Err(reason) => return Some((rank, reason.clone())),
            };
            let before = offers[..rank].iter().flat_map(|offer| &offer.can);
            // NCCL refuses both.
            if let Some(other) = before.clone().position(|(of_other, _)| of_other == gpu) {
                return Some((rank, format!("it has the GPU of rank {other}")));
            }
            let (_, of_first) = before.clone().next().filter(|(_, of_first)| of_first != version)?;
            Some((rank, format!("it has NCCL {version} and rank 0 has {of_first}")))
        });
        Self { demands: offers.iter().any(|offer| offer.demands), obstacle }
    }
}

/// A text without ends of lines.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(demands: bool, can: Result<(&str, &str), &str>) -> Offer {
        let owned = |(gpu, version): (&str, &str)| (gpu.to_owned(), version.to_owned());
        Offer { demands, can: can.map(owned).map_err(str::to_owned) }
    }

    fn chosen(offers: &[Offer]) -> (bool, Option<(usize, String)>) {
        let bytes: Vec<_> = offers.iter().map(Offer::to_bytes).collect();
        let Choice { demands, obstacle } = Choice::of(&bytes);
        (demands, obstacle)
    }

    #[test]
    fn offers_survive_the_journey() {
        for offer in [
            offer(false, Ok(("0af1", "2.28.9"))),
            offer(true, Ok(("", "2"))),
            offer(true, Err("it computes on the CPU")),
        ] {
            assert_eq!(Offer::from_bytes(&offer.to_bytes()), offer);
        }
        let told = Offer::from_bytes(&offer(false, Err("two\n lines")).to_bytes());
        assert_eq!(told, offer(false, Err("two lines")));
        for broken in [
            &b""[..],
            b"nccl",
            b"any\ncan\ngpu",
            b"any\ncannot\n",
            b"any\nmay\ngpu\n2",
            b"\xff\n\xff\n\xff\n\xff\n\xff",
        ] {
            assert!(Offer::from_bytes(broken).can.unwrap_err().contains("another version"));
        }
    }

    #[test]
    fn nccl_needs_a_gpu_and_the_same_version_on_every_rank() {
        let (a, b) = (offer(false, Ok(("a", "2.28.9"))), offer(false, Ok(("b", "2.28.9"))));
        assert_eq!(chosen(&[a.clone(), b.clone()]), (false, None));
        assert_eq!(chosen(std::slice::from_ref(&a)), (false, None));
        let because = |offers: &[Offer]| chosen(offers).1.unwrap();
        assert_eq!(because(&[a.clone(), b.clone(), a.clone()]), (2, "it has the GPU of rank 0".to_owned()));
        assert_eq!(because(&[a.clone(), b.clone(), b.clone()]), (2, "it has the GPU of rank 1".to_owned()));
        let old = offer(false, Ok(("c", "2.18.1")));
        assert_eq!(
            because(&[a.clone(), b.clone(), old]),
            (2, "it has NCCL 2.18.1 and rank 0 has 2.28.9".to_owned())
        );
        let without = offer(true, Err("it computes on the CPU"));
        assert_eq!(chosen(&[a, without, b]), (true, Some((1, "it computes on the CPU".to_owned()))));
    }
}
