//! Reads the options of `#[task(…)]`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, Token};

use crate::errors::Errors;
use crate::valid;

/// One option: `key`, `key = value` or `key(list)`.
pub(crate) struct Item {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    None,
    Expr(Expr),
    List(TokenStream),
}

impl Item {
    /// The whole of it, for a message.
    fn tokens(&self) -> TokenStream {
        let key = &self.key;
        match &self.value {
            Value::None => quote!(#key),
            Value::Expr(value) => quote!(#key = #value),
            Value::List(list) => quote!(#key(#list)),
        }
    }
}

/// All options that can be read; what cannot is noted and passed over.
pub(crate) fn items(tokens: TokenStream, errors: &mut Errors) -> Vec<Item> {
    let mut found = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            match item(input) {
                Ok(item) => found.push(item),
                Err(error) => {
                    errors.push(error);
                    skip_to_comma(input)?;
                }
            }
            if !input.is_empty()
                && let Err(error) = input.parse::<Token![,]>()
            {
                errors.push(syn::Error::new(error.span(), "expected a comma between options"));
                skip_to_comma(input)?;
                let _ = input.parse::<Option<Token![,]>>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        errors.push(error);
    }
    found
}

fn item(input: ParseStream<'_>) -> syn::Result<Item> {
    let key = input.call(Ident::parse_any).map_err(|error| {
        syn::Error::new(error.span(), "expected an option such as `queue = \"critical\"`")
    })?;
    let value = if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new(
                key.span(),
                format!("`{key}` needs a value: `{key} = …`"),
            ));
        }
        Value::Expr(input.parse()?)
    } else if input.peek(syn::token::Paren) {
        let list;
        syn::parenthesized!(list in input);
        Value::List(list.parse()?)
    } else {
        Value::None
    };
    Ok(Item { key, value })
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// A text that was checked, or an expression that the compiler checks.
pub(crate) type Tokens = TokenStream;

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
}

pub(crate) const PAYLOAD_OPTIONS: [&str; 11] = [
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
            _ => return false,
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

fn literal(expr: &Expr) -> Option<&Lit> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

/// The value of an option that has one.
fn value<'a>(item: &'a Item, example: &str, errors: &mut Errors) -> Option<&'a Expr> {
    if let Value::Expr(expr) = &item.value {
        Some(expr)
    } else {
        let key = &item.key;
        errors.at(item.tokens(), format!("expected `{key} = {example}`"));
        None
    }
}

fn text(item: &Item, check: fn(&str) -> Result<(), String>, errors: &mut Errors) -> Option<Tokens> {
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

fn duration_tokens(duration: std::time::Duration) -> Tokens {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
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

pub(crate) fn concurrency(item: &Item, errors: &mut Errors) -> Option<Tokens> {
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

pub(crate) fn backoff(item: &Item, krate: &Tokens, errors: &mut Errors) -> Option<Tokens> {
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

pub(crate) fn on_decode_error(item: &Item, krate: &Tokens, errors: &mut Errors) -> Option<Tokens> {
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

/// Notes options that are given twice.
pub(crate) fn check_repeated(items: &[Item], errors: &mut Errors) {
    for (place, item) in items.iter().enumerate() {
        let repeated = items[..place].iter().any(|earlier| earlier.key == item.key);
        if repeated && item.key != "alias" {
            errors.at(&item.key, format!("`{}` is given twice", item.key));
        }
    }
}

/// Notes an option that does not exist, or not here.
pub(crate) fn unknown(key: &Ident, known: &[&str], errors: &mut Errors) {
    let text = key.to_string();
    let hint = match text.as_str() {
        "process_in" | "process_at" | "delay" => {
            Some("is set for one task, not for a type: `client.enqueue(task.process_in(delay))`".to_owned())
        }
        "task_id" | "id" => {
            Some("is set for one task, not for a type: `client.enqueue(task.task_id(\"…\"))`".to_owned())
        }
        "type" | "task_type" | "pattern" => Some(meant("name")),
        "retries" | "retry" | "max_retries" => Some(meant("max_retry")),
        "ttl" | "keep" => Some(meant("retention")),
        "aliases" => Some("is not an option; did you mean `alias`? It may be repeated".to_owned()),
        _ => None,
    };
    let usable = |hint: &String| !hint.contains("did you mean") || known.iter().any(|k| hint.contains(*k));
    let text = match hint.filter(usable) {
        Some(hint) => format!("`{text}` {hint}"),
        None => {
            let guess = valid::nearest(&text, known)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            format!(
                "unknown option `{text}`{guess}\nexpected one of: {}",
                known.join(", ")
            )
        }
    };
    errors.at_span(key.span(), text);
}

fn meant(option: &str) -> String {
    format!("is not an option; did you mean `{option}`?")
}

/// Where an option was given.
pub(crate) fn place(item: &Item) -> Span {
    item.tokens().span()
}
