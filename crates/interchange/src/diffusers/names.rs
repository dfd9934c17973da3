//! Tensor names from older versions of the library.

/// Attention projections: the old name and the current one.
const RENAMED: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// The current name, which this project uses too.
#[must_use]
pub fn current(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('.').collect();
    let count = parts.len();
    // mid_block.attentions.0.query.weight
    if count >= 4 && parts[count - 4] == "attentions" {
        let renamed = RENAMED.iter().find(|(old, _)| parts[count - 2] == *old);
        if let Some((_, new)) = renamed {
            parts[count - 2] = new;
        }
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::current;

    #[test]
    fn old_attention_names_become_current_ones() {
        for (old, new) in [
            ("mid_block.attentions.0.query.weight", "mid_block.attentions.0.to_q.weight"),
            ("down_blocks.1.attentions.12.key.bias", "down_blocks.1.attentions.12.to_k.bias"),
            ("up_blocks.0.attentions.2.proj_attn.bias", "up_blocks.0.attentions.2.to_out.0.bias"),
            ("up_blocks.0.attentions.2.to_out.0.bias", "up_blocks.0.attentions.2.to_out.0.bias"),
            ("query.weight", "query.weight"),
            ("conv_in.weight", "conv_in.weight"),
        ] {
            assert_eq!(current(old), new);
        }
    }
}
