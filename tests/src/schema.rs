//! The part of JSON Schema that `docs/schemas` uses: `type`, `required`, `properties`, `additionalProperties`, `items` and
//! `enum`, besides texts for people. Any other keyword is an error, so that none is written in vain.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

/// Keywords without an effect.
const TEXTS: [&str; 3] = ["$schema", "title", "description"];

/// The folder of the schemas.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}

/// Reads `docs/schemas/NAME.json`.
///
/// # Errors
/// When there is no such file, or it is not JSON.
pub fn read(name: &str) -> anyhow::Result<Value> {
    let path = folder().join(format!("{name}.json"));
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Checks a value against a schema.
///
/// # Errors
/// The first place that does not fit, such as `$.runs[0].step`, or a keyword that this does not know.
pub fn check(schema: &Value, value: &Value) -> anyhow::Result<()> {
    check_at(schema, value, "$")
}

fn check_at(schema: &Value, value: &Value, at: &str) -> anyhow::Result<()> {
    let schema = schema.as_object().with_context(|| format!("{at}: the schema is not an object"))?;
    for (keyword, rule) in schema {
        match keyword.as_str() {
            "type" => check_type(rule, value, at)?,
            "enum" => {
                let allowed = rule.as_array().context("enum: expected a list")?;
                ensure!(allowed.contains(value), "{at}: {value} is none of {rule}");
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check_at(rule, item, &format!("{at}[{index}]"))?;
                }
            }
            "required" | "properties" | "additionalProperties" => {}
            text if TEXTS.contains(&text) => {}
            other => bail!("{at}: the schema has an unknown keyword {other}"),
        }
    }
    value.as_object().map_or(Ok(()), |object| check_object(schema, object, at))
}

fn check_type(rule: &Value, value: &Value, at: &str) -> anyhow::Result<()> {
    let is = |name: &Value| {
        Ok(match name.as_str() {
            Some("null") => value.is_null(),
            Some("boolean") => value.is_boolean(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => bail!("{at}: the schema has an unknown type {name}"),
        })
    };
    let mut fits = false;
    for name in rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice) {
        fits |= is(name)?;
    }
    ensure!(fits, "{at}: expected {rule}, found {value}");
    Ok(())
}

fn check_object(schema: &Map<String, Value>, object: &Map<String, Value>, at: &str) -> anyhow::Result<()> {
    for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let key = key.as_str().context("required: expected names")?;
        ensure!(object.contains_key(key), "{at}: {key} is missing");
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in object {
        let at = format!("{at}.{key}");
        match (properties.and_then(|properties| properties.get(key)), schema.get("additionalProperties")) {
            (Some(rule), _) => check_at(rule, value, &at)?,
            (None, Some(Value::Bool(false))) => bail!("{at}: the schema does not have this key"),
            (None, Some(rule @ Value::Object(_))) => check_at(rule, value, &at)?,
            (None, _) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "title": "t", "type": "object", "additionalProperties": false, "required": ["n", "list"],
            "properties": {
                "n": { "type": "integer" }, "x": { "type": ["number", "null"] }, "kind": { "enum": ["a", "b"] },
                "list": { "type": "array", "items": { "type": "string", "description": "d" } },
                "map": { "type": "object", "additionalProperties": { "type": "boolean" } },
            },
        })
    }

    #[test]
    fn what_fits_is_accepted() {
        for value in [
            json!({ "n": 1, "list": [] }),
            json!({ "n": -1, "list": ["a"], "x": 1.5, "kind": "b", "map": { "any": true } }),
            json!({ "n": 1, "list": [], "x": null, "map": {} }),
        ] {
            check(&schema(), &value).unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        for (value, words) in [
            (json!([]), "$: expected \"object\""),
            (json!({ "n": 1 }), "$: list is missing"),
            (json!({ "n": 1.5, "list": [] }), "$.n: expected \"integer\""),
            (json!({ "n": 1, "list": ["a", 2] }), "$.list[1]: expected \"string\""),
            (json!({ "n": 1, "list": [], "more": 1 }), "$.more: the schema does not have this key"),
            (json!({ "n": 1, "list": [], "kind": "c" }), "$.kind: \"c\" is none of"),
            (json!({ "n": 1, "list": [], "map": { "k": 1 } }), "$.map.k: expected \"boolean\""),
            (json!({ "n": 1, "list": [], "x": "1" }), "$.x: expected [\"number\",\"null\"]"),
        ] {
            let error = check(&schema(), &value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_schema_with_a_slip_is_refused() {
        for wrong in [json!({ "tpye": "string" }), json!({ "type": "strin" }), json!([])] {
            assert!(check(&wrong, &json!("a")).is_err(), "{wrong}");
        }
        assert!(read("no-such-schema").is_err());
    }
}
