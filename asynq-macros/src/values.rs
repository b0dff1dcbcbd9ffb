//! Reads the values of options: what is checked here, and what is left to the compiler.

use proc_macro2::Span;
use quote::{ToTokens, quote};
use syn::{Expr, ExprLit, Lit};

use crate::attr::{Item, Value};
use crate::errors::Errors;

/// A text that was checked, or an expression that the compiler checks.
pub(crate) type Tokens = proc_macro2::TokenStream;

pub(crate) fn literal(expr: &Expr) -> Option<&Lit> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

/// The value of an option that has one.
pub(crate) fn value<'a>(item: &'a Item, example: &str, errors: &mut Errors) -> Option<&'a Expr> {
    if let Value::Expr(expr) = &item.value {
        Some(expr)
    } else {
        let key = &item.key;
        errors.at(item.tokens(), format!("expected `{key} = {example}`"));
        None
    }
}

pub(crate) fn text(
    item: &Item,
    check: fn(&str) -> Result<(), String>,
    errors: &mut Errors,
) -> Option<Tokens> {
    let expr = value(item, "\"…\"", errors)?;
    let key = &item.key;
    match literal(expr) {
        Some(Lit::Str(text)) => match check(&text.value()) {
            Ok(()) => Some(quote!(#text)),
            Err(problem) => {
                errors.at(text, format!("`{key}` {problem}"));
                None
            }
        },
        Some(other) => {
            errors.at(other, format!("expected a text: `{key} = \"…\"`"));
            None
        }
        None => Some(expr.to_token_stream()),
    }
}

pub(crate) fn duration(
    item: &Item,
    check: fn(&str) -> Result<std::time::Duration, String>,
    errors: &mut Errors,
) -> Option<Tokens> {
    let expr = value(item, "\"30s\"", errors)?;
    let key = &item.key;
    match literal(expr) {
        Some(Lit::Str(text)) => match check(&text.value()) {
            Ok(duration) => Some(duration_tokens(duration)),
            Err(problem) if problem.starts_with("must") || problem.starts_with("is ") => {
                errors.at(text, format!("`{key}` {problem}"));
                None
            }
            Err(problem) => {
                errors.at(text, problem);
                None
            }
        },
        Some(Lit::Int(number)) => {
            errors.at(
                number,
                format!("expected a duration with its unit, as text: `{key} = \"{number}s\"`"),
            );
            None
        }
        Some(other) => {
            errors.at(other, "expected a duration such as \"30s\", \"10m\" or \"1h30m\"");
            None
        }
        None => Some(expr.to_token_stream()),
    }
}

pub(crate) fn duration_tokens(duration: std::time::Duration) -> Tokens {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}

/// A path to something, such as the list of `collect = …`.
pub(crate) fn path(item: &Item, example: &str, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, example, errors)?;
    if let Expr::Path(path) = expr {
        Some(quote!(#path))
    } else {
        errors.at(
            expr,
            format!("expected a path: `{key} = {example}`", key = item.key),
        );
        None
    }
}

/// An option without a value.
pub(crate) fn flag(item: &Item, errors: &mut Errors) {
    if !matches!(item.value, Value::None) {
        let key = &item.key;
        errors.at(item.tokens(), format!("`{key}` takes no value: write `{key}`"));
    }
}

/// `crate = path`, which may come as a text too.
pub(crate) fn krate(item: &Item, errors: &mut Errors) -> Option<Tokens> {
    let expr = value(item, "my_crate::asynq", errors)?;
    match (literal(expr), expr) {
        (None, Expr::Path(path)) => Some(generated(quote!(#path))),
        (Some(Lit::Str(text)), _) => {
            let path = text.parse_with(syn::Path::parse_mod_style);
            errors.take(path).map(|path| generated(quote!(#path)))
        }
        _ => {
            errors.at(expr, "expected a path: `crate = my_crate::asynq`");
            None
        }
    }
}

/// The same tokens, no longer written by the user: lints leave them alone, and errors still point at their place.
fn generated(tokens: Tokens) -> Tokens {
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(Span::call_site().located_at(token.span()));
            token
        })
        .collect()
}
