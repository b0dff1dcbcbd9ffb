//! Options of a handler that say how a worker treats its tasks.

use quote::{ToTokens, quote};
use syn::{Expr, Lit};

use crate::attr::Item;
use crate::errors::Errors;
use crate::valid;
use crate::values::{Tokens, duration, duration_tokens, literal, value};

/// Calls of `Policy`: method, value.
#[derive(Default)]
pub(crate) struct PolicyOptions(pub(crate) Vec<(&'static str, Tokens)>);

impl PolicyOptions {
    /// Takes an option if it is one of these.
    pub(crate) fn take(&mut self, item: &Item, krate: &Tokens, errors: &mut Errors) -> bool {
        let (method, value) = match item.key.to_string().as_str() {
            "backoff" => ("backoff", backoff(item, krate, errors)),
            "concurrency" => ("concurrency", concurrency(item, errors)),
            "timeout_cap" => ("timeout_cap", duration(item, valid::positive_duration, errors)),
            "on_decode_error" => ("on_decode_error", on_decode_error(item, krate, errors)),
            _ => return false,
        };
        self.0.extend(value.map(|value| (method, value)));
        true
    }
}

fn concurrency(item: &Item, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "20", errors)?;
    match literal(expr) {
        Some(Lit::Int(number)) if number.base10_parse::<u32>().is_ok_and(|n| n > 0) => Some(quote!(#number)),
        Some(other) => {
            errors.at(
                other,
                "`concurrency` must be a number of at least 1: `concurrency = 20`",
            );
            None
        }
        None if matches!(expr, Expr::Unary(_)) => {
            errors.at(expr, "`concurrency` must be a number of at least 1");
            None
        }
        None => Some(expr.to_token_stream()),
    }
}

fn backoff(item: &Item, krate: &Tokens, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "\"exp(2s..10m)\"", errors)?;
    match literal(expr) {
        Some(Lit::Str(text)) => match valid::backoff(&text.value()) {
            Ok(valid::Backoff::Fixed(delay)) => {
                let delay = duration_tokens(delay);
                Some(quote!(#krate::FixedBackoff(#delay)))
            }
            Ok(valid::Backoff::Exponential(base, max)) => {
                let (base, max) = (duration_tokens(base), duration_tokens(max));
                Some(quote!(#krate::ExponentialBackoff::new(#base, #max)))
            }
            Err(problem) => {
                errors.at(text, problem);
                None
            }
        },
        Some(other) => {
            errors.at(
                other,
                "expected \"exp(2s..10m)\", \"fixed(5s)\" or a `RetryPolicy`",
            );
            None
        }
        None => Some(expr.to_token_stream()),
    }
}

fn on_decode_error(item: &Item, krate: &Tokens, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "\"retry\"", errors)?;
    let text = match literal(expr) {
        Some(Lit::Str(text)) => text.value(),
        _ => String::new(),
    };
    match text.as_str() {
        "archive" => Some(quote!(#krate::OnDecodeError::Archive)),
        "retry" => Some(quote!(#krate::OnDecodeError::Retry)),
        _ => {
            errors.at(expr, "expected \"archive\" or \"retry\"");
            None
        }
    }
}
