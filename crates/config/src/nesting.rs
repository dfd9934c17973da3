//! Checks how deep a TOML text nests before it is parsed. The parser and all code that walks the result use stack for
//! each level; 80 dotted keys in 10 nested braces overflow 2 MiB.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use crate::error::ConfigError;

/// Maximum levels in one statement. Below a header of this many levels, each an array of tables, a value is at most
/// three times as deep.
const MAX_LEVELS: usize = 32;

/// Refuses a statement whose keys, groups and lists are more than [`MAX_LEVELS`] levels deep. In invalid TOML, every
/// bracket that is never closed counts as a level.
pub(crate) fn check(text: &str) -> Result<(), ConfigError> {
    let mut line = 1;
    // The open brackets, with the dots of a key in each; the first entry stands for the statement itself.
    let mut open = vec![(TokenKind::Newline, 0_usize)];
    for token in Source::new(text).lex() {
        let span = token.span();
        match token.kind() {
            TokenKind::Dot => {
                if let Some(level) = open.last_mut() {
                    level.1 += 1;
                }
            }
            kind @ (TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket) => open.push((kind, 0)),
            TokenKind::RightSquareBracket => close(&mut open, TokenKind::LeftSquareBracket),
            TokenKind::RightCurlyBracket => close(&mut open, TokenKind::LeftCurlyBracket),
            TokenKind::Comma | TokenKind::Newline => {
                if let Some(level) = open.last_mut() {
                    level.1 = 0;
                }
            }
            _ => {}
        }
        let levels = open.len() - 1 + open.iter().map(|level| level.1).sum::<usize>();
        if levels > MAX_LEVELS {
            return Err(ConfigError::TooDeep { line, limit: MAX_LEVELS });
        }
        line += text.as_bytes().get(span.start()..span.end()).map_or(0, newlines);
    }
    Ok(())
}

fn close(open: &mut Vec<(TokenKind, usize)>, kind: TokenKind) {
    // An unmatched closing bracket is an error. Only the parser knows how it continues, so nothing is closed here.
    if open.last().is_some_and(|level| level.0 == kind) {
        open.pop();
    }
}

pub(crate) fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_groups_and_lists_count_as_levels() {
        let dots = |n: usize| vec!["a"; n].join(".");
        let lists = |n: usize| format!("a = {}{}", "[".repeat(n), "]".repeat(n));
        for fine in [
            "a = [1.5, 2.5, 3.5]\n".repeat(100),
            format!("a = [{}]", "1.5, ".repeat(100)),
            format!("a = '{}'", dots(100)),
            format!("# {}\na = 1", dots(100)),
            format!("[{}]\n{} = 1", dots(31), dots(32)),
            lists(32),
        ] {
            assert!(check(&fine).is_ok(), "{fine}");
        }
        let braces = format!("{} = {{ {0} = {{ {0} = 1 }} }}", dots(12));
        for deep in
            [lists(33), dots(40), format!("[{}]", dots(40)), braces, "[".repeat(1 << 20), "a=[\n".repeat(40)]
        {
            assert!(matches!(check(&deep), Err(ConfigError::TooDeep { limit: 32, .. })));
        }
        assert!(matches!(
            check(&format!("a = 1\n'''b\n'''\n{}", lists(40))),
            Err(ConfigError::TooDeep { line: 4, .. })
        ));
    }
}
