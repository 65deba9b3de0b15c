//! Expressions, in `JSONata`.
//!
//! An expression is parsed once. Most only name a value (`$deploy.app`, `$states.result.Payload`): those are looked up
//! without the evaluator. For the others only what they name is given to it.

use std::collections::BTreeSet;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator};
use jsonata_core::value::JValue;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Variables;

/// What expressions can name.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) variables: &'a Variables,
    pub(super) input: &'a Value,
    /// `$states.result`, in a task's `Output` and `Assign`.
    pub(super) result: Option<&'a Value>,
    /// `$states.errorOutput`, in a catcher.
    pub(super) error_output: Option<&'a Value>,
    /// `$states.context`.
    pub(super) context: &'a Value,
}

impl<'a> Scope<'a> {
    /// `$states.<part>`.
    fn part(&self, part: &str) -> Option<&'a Value> {
        match part {
            "input" => Some(self.input),
            "result" => self.result,
            "errorOutput" => self.error_output,
            "context" => Some(self.context),
            _ => None,
        }
    }
}

const PARTS: [&str; 4] = ["input", "result", "errorOutput", "context"];

/// Which of the parts of `$states` a field's expressions may name besides `input` and `context`; naming another is
/// refused when a state machine is created.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html>.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// Arguments, conditions, seconds, errors.
    Before,
    /// A task's `Output` and `Assign`.
    Result,
    /// A catcher's `Output` and `Assign`.
    Error,
}

/// One `{% ... %}`.
pub(super) struct Expression {
    pub(super) source: String,
    ast: AstNode,
    /// Set if it only names a value: `$variable.field.field`.
    path: Option<Path>,
    variables: BTreeSet<String>,
    parts: BTreeSet<&'static str>,
}

/// `$root.field.field`, where `root` is a variable or `$states.part`.
struct Path {
    root: Root,
    fields: Vec<String>,
}

enum Root {
    Variable(String),
    States(&'static str),
}

impl Expression {
    pub(super) fn parse(source: &str, place: Place) -> Result<Expression, String> {
        let source = source.trim().to_owned();
        let ast =
            jsonata_core::parser::parse(&source).map_err(|error| format!("`{source}`: {error}"))?;
        let mut expression = Expression {
            path: path(&ast),
            source,
            ast,
            variables: BTreeSet::new(),
            parts: BTreeSet::new(),
        };
        // The tree in JSON, so that what it names is found without going through each of its kinds of node.
        let tree = serde_json::to_value(&expression.ast).map_err(|error| error.to_string())?;
        expression.find_names(&tree)?;
        let not_here = match place {
            Place::Before => ["result", "errorOutput"].as_slice(),
            Place::Result => &["errorOutput"],
            Place::Error => &["result"],
        };
        match not_here
            .iter()
            .find(|part| expression.parts.contains(**part))
        {
            Some(part) => Err(format!(
                "`{}`: $states.{part} is nothing here",
                expression.source
            )),
            None => Ok(expression),
        }
    }

    fn find_names(&mut self, tree: &Value) -> Result<(), String> {
        match tree {
            Value::Object(node) => {
                if let Some(steps) = node.get("Path").and_then(|path| path["steps"].as_array())
                    && steps
                        .first()
                        .is_some_and(|step| step["node"]["Variable"] == "states")
                    && let Some(part) = steps.get(1).and_then(|step| step["node"]["Name"].as_str())
                {
                    let part = PARTS.into_iter().find(|known| *known == part);
                    self.parts.insert(
                        part.ok_or_else(|| format!("`{}`: $states has no such part", self.source))?,
                    );
                    // What stands in the filters of these two steps may name more.
                    steps
                        .iter()
                        .take(2)
                        .try_for_each(|step| self.find_names(&step["stages"]))?;
                    return steps
                        .iter()
                        .skip(2)
                        .try_for_each(|step| self.find_names(step));
                }
                match node.get("Variable").and_then(Value::as_str) {
                    Some("states") => Err(format!(
                        "`{}`: only parts of $states can be named",
                        self.source
                    )),
                    Some(name) => {
                        self.variables.insert(name.to_owned());
                        Ok(())
                    }
                    None => node.values().try_for_each(|value| self.find_names(value)),
                }
            }
            Value::Array(nodes) => nodes.iter().try_for_each(|node| self.find_names(node)),
            _ => Ok(()),
        }
    }

    /// An error is half a sentence: what the expression did instead of giving a value.
    pub(super) fn evaluate(&self, scope: &Scope) -> Result<Value, String> {
        match self.path.as_ref().map(|path| path.look_up(scope)) {
            Some(Found::Value(value)) => Ok(value.clone()),
            Some(Found::Nothing) => Err(nothing()),
            Some(Found::Array) | None => self.evaluate_all(scope),
        }
    }

    /// By the evaluator, whatever the expression is.
    fn evaluate_all(&self, scope: &Scope) -> Result<Value, String> {
        let mut context = Context::new();
        for name in &self.variables {
            if let Some(value) = scope.variables.get(name) {
                context.bind(name.clone(), from_json(value));
            }
        }
        if !self.parts.is_empty() {
            let mut states = JValue::from(Value::Object(Map::new()));
            if let Some(states) = states.as_object_mut() {
                for part in &self.parts {
                    if let Some(value) = scope.part(part) {
                        states.insert((*part).to_owned(), from_json(value));
                    }
                }
            }
            context.bind("states".to_owned(), states);
        }
        let result = Evaluator::with_context(context)
            .evaluate(&self.ast, &JValue::Undefined)
            .map_err(|error| format!("threw an error: {}", error.message()))?;
        match result {
            JValue::Undefined => Err(nothing()),
            value => to_json(&value).ok_or_else(|| "returned a function".to_owned()),
        }
    }
}

/// JSON cannot represent it, so it is an error wherever it comes up.
fn nothing() -> String {
    "returned nothing (undefined)".to_owned()
}

enum Found<'a> {
    Value(&'a Value),
    Nothing,
    /// An array is gone through item by item: for the evaluator.
    Array,
}

impl Path {
    fn look_up<'a>(&self, scope: &Scope<'a>) -> Found<'a> {
        let root = match &self.root {
            Root::Variable(name) => scope.variables.get(name).map(AsRef::as_ref),
            Root::States(part) => scope.part(part),
        };
        let Some(mut value) = root else {
            return Found::Nothing;
        };
        for field in &self.fields {
            value = match value {
                Value::Object(object) => match object.get(field) {
                    Some(value) => value,
                    None => return Found::Nothing,
                },
                Value::Array(_) => return Found::Array,
                _ => return Found::Nothing,
            };
        }
        Found::Value(value)
    }
}

/// The path that a tree is, if it is nothing more.
fn path(ast: &AstNode) -> Option<Path> {
    let (root, fields) = match ast {
        AstNode::Variable(name) => (name, Vec::new()),
        AstNode::Path { steps } => {
            let plain = steps.iter().all(|step| {
                step.stages.is_empty()
                    && step.focus.is_none()
                    && step.index_var.is_none()
                    && !step.is_tuple
            });
            let ((first, rest), true) = (steps.split_first()?, plain) else {
                return None;
            };
            let AstNode::Variable(root) = &first.node else {
                return None;
            };
            let field = |step: &jsonata_core::ast::PathStep| match &step.node {
                AstNode::Name(name) => Some(name.clone()),
                _ => None,
            };
            (root, rest.iter().map(field).collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    if root == "states" {
        let part = PARTS
            .into_iter()
            .find(|part| fields.first().is_some_and(|field| field == part))?;
        return Some(Path {
            root: Root::States(part),
            fields: fields[1..].to_vec(),
        });
    }
    // The empty name is `$`, what the expression is evaluated against: nothing.
    (!root.is_empty()).then(|| Path {
        root: Root::Variable(root.clone()),
        fields,
    })
}

fn from_json(value: &Value) -> JValue {
    // It takes any JSON, so there is nothing to fail.
    JValue::deserialize(value).unwrap_or(JValue::Undefined)
}

/// `None` for a function.
fn to_json(value: &JValue) -> Option<Value> {
    Some(match value {
        JValue::Null => Value::Null,
        JValue::Bool(value) => Value::Bool(*value),
        JValue::Number(number) => number_to_json(*number),
        JValue::String(text) => Value::String(text.to_string()),
        JValue::Array(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        JValue::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| Some((name.clone(), to_json(value)?)));
            Value::Object(fields.collect::<Option<Map<_, _>>>()?)
        }
        _ => return None,
    })
}

/// As JavaScript writes it: what is whole has no fraction.
#[allow(clippy::cast_possible_truncation)]
fn number_to_json(number: f64) -> Value {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= WHOLE {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    /// What is looked up is what the evaluator would have given.
    #[test]
    fn a_path_gives_what_the_evaluator_gives() {
        let leaves = [
            json!(null),
            json!(false),
            json!(0),
            json!(1.5),
            json!(""),
            json!("text"),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!([[1]]),
            json!([{"c": 1}]),
            json!([{"c": [1]}, {"c": [2, 3]}, {}]),
            json!([null]),
            json!({}),
            json!({"c": null}),
            json!({"c": [1]}),
            json!({"c": {"d": 1}}),
        ];
        let paths = [
            "",
            ".b",
            ".b.c",
            ".c",
            ".c.d",
            ".missing",
            ".missing.c",
            ".b.`c`",
        ];
        for leaf in leaves {
            for value in [leaf.clone(), json!({"b": leaf}), json!([{"b": leaf}])] {
                let variables = Variables::from([("a".to_owned(), Arc::new(value.clone()))]);
                let scope = Scope {
                    variables: &variables,
                    input: &value,
                    result: None,
                    error_output: None,
                    context: &Value::Null,
                };
                for root in ["$a", "$states.input"] {
                    for path in paths {
                        let expression =
                            Expression::parse(&format!("{root}{path}"), Place::Before).unwrap();
                        assert!(expression.path.is_some(), "{root}{path}");
                        let looked_up = expression.evaluate(&scope);
                        assert_eq!(
                            looked_up,
                            expression.evaluate_all(&scope),
                            "{root}{path} of {value}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_an_expression_names() {
        let cases: [(&str, &[&str], &[&str], bool); 8] = [
            ("$a.b", &["a"], &[], true),
            ("$states.input", &[], &["input"], true),
            ("$a[0].b", &["a"], &[], false),
            ("$a.(b + $c)", &["a", "c"], &[], false),
            ("$a.b.$c", &["a", "c"], &[], false),
            ("$states.input[$a = 1].x", &["a"], &["input"], false),
            (
                "$states.context.State.Name & $states.input.x",
                &[],
                &["context", "input"],
                false,
            ),
            (
                "$map($a, function($v) { $v + $states.input })",
                &["a", "v"],
                &["input"],
                false,
            ),
        ];
        for (source, variables, parts, is_path) in cases {
            let expression = Expression::parse(source, Place::Before).unwrap();
            assert!(
                expression.variables.iter().eq(variables),
                "{source}: {:?}",
                expression.variables
            );
            assert!(
                expression.parts.iter().eq(parts),
                "{source}: {:?}",
                expression.parts
            );
            assert_eq!(expression.path.is_some(), is_path, "{source}");
        }
    }
}
