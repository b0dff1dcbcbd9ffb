//! Options of a payload type.

use proc_macro2::Span;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Lit};

use crate::attr::{Item, Value};
use crate::errors::Errors;
use crate::schedule::ScheduleOptions;
use crate::valid;
use crate::values::{Tokens, duration, literal, text, value};

/// Options of a payload type.
#[derive(Default)]
pub(crate) struct PayloadOptions {
    pub(crate) name: Option<(Span, Tokens)>,
    pub(crate) aliases: Vec<Tokens>,
    pub(crate) codec: Option<Tokens>,
    /// Calls of `Configure`: method, value.
    pub(crate) configure: Vec<(&'static str, Tokens)>,
    /// Items that check constants.
    pub(crate) checks: Vec<Tokens>,
    pub(crate) schedule: ScheduleOptions,
}

pub(crate) const PAYLOAD_OPTIONS: [&str; 14] = [
    "name",
    "alias",
    "queue",
    "max_retry",
    "timeout",
    "deadline",
    "retention",
    "unique",
    "group",
    "codec",
    "cron",
    "tz",
    "missed",
    "crate",
];

impl PayloadOptions {
    /// Takes an option if it is one of a payload type.
    pub(crate) fn take(&mut self, item: &Item, errors: &mut Errors) -> bool {
        let key = item.key.to_string();
        match key.as_str() {
            "name" => {
                if let Some(text) = text(item, valid::name, errors) {
                    self.name = Some((item.key.span(), text));
                }
            }
            "alias" => self.aliases.extend(text(item, valid::name, errors)),
            "queue" => self.set("queue", text(item, valid::queue, errors)),
            "group" => self.set("group", text(item, valid::name, errors)),
            "max_retry" => self.set("max_retry", max_retry(item, errors)),
            "timeout" => self.set_duration("timeout", item, errors),
            "retention" => self.set_duration("retention", item, errors),
            "unique" => self.set_duration("unique", item, errors),
            "deadline" => self.set("deadline", deadline(item, errors)),
            "codec" => self.codec = codec(item, errors),
            _ => return self.schedule.take(item, errors),
        }
        true
    }

    fn set(&mut self, method: &'static str, value: Option<Tokens>) {
        self.configure.extend(value.map(|value| (method, value)));
    }

    fn set_duration(&mut self, method: &'static str, item: &Item, errors: &mut Errors) {
        let Some(value) = duration(item, valid::stored_duration, errors) else {
            return;
        };
        if let Value::Expr(expr) = &item.value
            && literal(expr).is_none()
        {
            let text = format!("{method} must be at least 1s, in whole seconds: tasks are stored so");
            self.checks.push(quote_spanned! {expr.span()=>
                ::core::assert!(
                    ::core::time::Duration::as_secs(&{ #expr }) >= 1
                        && ::core::time::Duration::subsec_nanos(&{ #expr }) == 0,
                    #text
                );
            });
        }
        self.set(method, Some(value));
    }
}

fn max_retry(item: &Item, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "5", errors)?;
    match literal(expr) {
        Some(Lit::Int(number)) => match number.base10_parse::<u32>() {
            Ok(retries) if i32::try_from(retries).is_ok() && ["", "u32"].contains(&number.suffix()) => {
                Some(quote!(#number))
            }
            _ => {
                errors.at(number, "`max_retry` must be a number from 0 to 2147483647");
                None
            }
        },
        Some(other) => {
            errors.at(other, "`max_retry` must be a number: `max_retry = 5`");
            None
        }
        None if matches!(expr, Expr::Unary(_)) => {
            errors.at(expr, "`max_retry` must be a number from 0 to 2147483647");
            None
        }
        None => Some(expr.to_token_stream()),
    }
}

fn deadline(item: &Item, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "\"2030-01-31T12:00:00Z\"", errors)?;
    match literal(expr) {
        Some(Lit::Str(text)) => {
            let seconds = valid::moment(&text.value()).map_err(|problem| errors.at(text, problem));
            seconds.ok().map(|seconds| {
                quote!(::std::time::SystemTime::UNIX_EPOCH + ::core::time::Duration::from_secs(#seconds))
            })
        }
        Some(other) => {
            errors.at(other, "expected a date and time such as \"2030-01-31T12:00:00Z\"");
            None
        }
        None => Some(expr.to_token_stream()),
    }
}

/// None for JSON.
fn codec(item: &Item, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "\"json\"", errors)?;
    match (literal(expr), expr) {
        (Some(Lit::Str(text)), _) if text.value() == "json" => None,
        (None, Expr::Path(path)) => Some(quote!(#path)),
        _ => {
            errors.at(
                expr,
                "expected `codec = \"json\"`, or a type that implements `Codec`: `codec = MyCodec`",
            );
            None
        }
    }
}
