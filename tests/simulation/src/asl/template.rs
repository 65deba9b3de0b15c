//! The JSON in which expressions stand.

use serde_json::{Map, Value};

use super::expression::{Expression, Place, Scope};

/// JSON with expressions in it.
pub(super) enum Template {
    /// No expression in it.
    Plain(Value),
    Expression(Box<Expression>),
    Array(Vec<Template>),
    Object(Vec<(String, Template)>),
}

/// An expression that gave no value, or not one that its field can take.
#[derive(Debug)]
pub(super) struct Evaluation {
    /// Its field, as in `Arguments/Payload/app` or `Catch[0]/Assign/why`.
    pub(super) location: String,
    source: String,
    what: String,
}

impl Evaluation {
    fn within(mut self, parent: &str) -> Evaluation {
        self.location.insert_str(0, parent);
        self
    }

    /// In the words of Step Functions, but for what an error in an expression is called.
    pub(super) fn cause(&self) -> String {
        format!(
            "The JSONata expression '{}' specified for the field '{}' {}.",
            self.source, self.location, self.what
        )
    }
}

impl Template {
    pub(super) fn parse(json: Value, place: Place) -> Result<Template, String> {
        Ok(match json {
            Value::String(text) => match text.strip_prefix("{%") {
                Some(rest) => match rest.strip_suffix("%}") {
                    Some(source) => {
                        Template::Expression(Box::new(Expression::parse(source, place)?))
                    }
                    None => return Err(format!("`{text}` is not closed")),
                },
                None if text.ends_with("%}") || text.trim_start().starts_with("{%") => {
                    return Err(format!("`{text}` is not opened by its first character"));
                }
                None => Template::Plain(Value::String(text)),
            },
            Value::Array(items) => {
                let items = items
                    .into_iter()
                    .map(|item| Template::parse(item, place))
                    .collect::<Result<Vec<_>, _>>()?;
                let plain = items
                    .iter()
                    .map(Template::as_plain)
                    .collect::<Option<Vec<_>>>();
                match plain {
                    Some(plain) => Template::Plain(plain.into_iter().cloned().collect()),
                    None => Template::Array(items),
                }
            }
            Value::Object(fields) => Template::parse_object(fields, place)?,
            other => Template::Plain(other),
        })
    }

    pub(super) fn parse_object(
        fields: Map<String, Value>,
        place: Place,
    ) -> Result<Template, String> {
        let fields = fields
            .into_iter()
            .map(|(name, value)| Ok((name, Template::parse(value, place)?)));
        let fields = fields.collect::<Result<Vec<_>, String>>()?;
        let plain = fields
            .iter()
            .map(|(name, value)| Some((name.clone(), value.as_plain()?.clone())));
        Ok(match plain.collect::<Option<Map<_, _>>>() {
            Some(plain) => Template::Plain(Value::Object(plain)),
            None => Template::Object(fields),
        })
    }

    fn as_plain(&self) -> Option<&Value> {
        match self {
            Template::Plain(value) => Some(value),
            _ => None,
        }
    }

    /// `field` is where the template stands in its state.
    pub(super) fn evaluate(&self, field: &str, scope: &Scope) -> Result<Value, Evaluation> {
        self.evaluate_here(scope)
            .map_err(|error| error.within(field))
    }

    /// As [`Template::evaluate`], for a field that takes only some values: `take` gives `None` for others.
    pub(super) fn evaluate_as<T>(
        &self,
        field: &str,
        scope: &Scope,
        expected: &str,
        take: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Evaluation> {
        let value = self.evaluate(field, scope)?;
        take(&value).ok_or_else(|| Evaluation {
            location: field.to_owned(),
            source: match self {
                Template::Expression(expression) => expression.source.clone(),
                _ => String::new(),
            },
            what: format!(
                "returned an unexpected result type: expected {expected}, but it was {value}"
            ),
        })
    }

    /// The location of an error is below this template.
    fn evaluate_here(&self, scope: &Scope) -> Result<Value, Evaluation> {
        match self {
            Template::Plain(value) => Ok(value.clone()),
            Template::Expression(expression) => {
                expression.evaluate(scope).map_err(|what| Evaluation {
                    location: String::new(),
                    source: expression.source.clone(),
                    what,
                })
            }
            Template::Array(items) => {
                let item = |(index, item): (usize, &Template)| {
                    item.evaluate_here(scope)
                        .map_err(|error| error.within(&format!("[{index}]")))
                };
                Ok(Value::Array(
                    items
                        .iter()
                        .enumerate()
                        .map(item)
                        .collect::<Result<_, _>>()?,
                ))
            }
            Template::Object(fields) => {
                let entry = |(name, value): &(String, Template)| {
                    let value = value
                        .evaluate_here(scope)
                        .map_err(|error| error.within(&format!("/{name}")))?;
                    Ok((name.clone(), value))
                };
                Ok(Value::Object(
                    fields.iter().map(entry).collect::<Result<_, _>>()?,
                ))
            }
        }
    }
}
