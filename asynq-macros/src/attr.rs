//! Reads the options of `#[task(…)]`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, Ident, Token};

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
    pub(crate) fn tokens(&self) -> TokenStream {
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
        "schedule" | "every" | "spec" | "cronspec" => Some(meant("cron")),
        "timezone" | "time_zone" | "zone" | "location" => Some(meant("tz")),
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

#[cfg(test)]
mod tests {
    use crate::handler::HANDLER_OPTIONS;
    use crate::payload_options::PAYLOAD_OPTIONS;
    use crate::valid::nearest;

    /// The word with one letter left out, doubled, replaced, or exchanged with the next.
    fn misspelt(word: &str) -> Vec<String> {
        let mut found = Vec::new();
        for place in 0..word.len() {
            let (before, letter, after) = (&word[..place], &word[place..=place], &word[place + 1..]);
            found.push(format!("{before}{after}"));
            found.push(format!("{before}{letter}{letter}{after}"));
            found.push(format!("{before}x{after}"));
            if let Some(next) = after.get(..1) {
                found.push(format!("{before}{next}{letter}{}", &after[1..]));
            }
        }
        found
    }

    #[test]
    fn a_misspelt_option_suggests_the_right_one() {
        let known: Vec<&str> = PAYLOAD_OPTIONS.into_iter().chain(HANDLER_OPTIONS).collect();
        for option in known.iter().filter(|option| option.len() > 2) {
            for wrong in misspelt(option).into_iter().filter(|wrong| wrong != option) {
                assert_eq!(nearest(&wrong, &known), Some(*option), "{wrong}");
            }
        }
    }
}
