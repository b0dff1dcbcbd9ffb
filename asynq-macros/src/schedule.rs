//! The options that say when the clock enqueues a task: `cron`, `tz` and `missed`.

use proc_macro2::Span;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Ident, Lit, LitStr};

use crate::attr::{self, Item};
use crate::errors::Errors;
use crate::spec::{self, Missed};
use crate::values::{Tokens, literal, value};

pub(crate) const SCHEDULE_OPTIONS: [&str; 3] = ["cron", "tz", "missed"];

/// When the clock enqueues a task. Complete once `check` has been called.
#[derive(Default)]
pub(crate) struct ScheduleOptions {
    cron: Option<LitStr>,
    zone: Option<LitStr>,
    missed: Option<MissedOption>,
    /// Whether there is a `cron`, right or wrong.
    has_cron: bool,
    /// Where `tz` and `missed` stand, right or wrong.
    others: Vec<(Ident, Span)>,
}

enum MissedOption {
    Known(Missed),
    Expr(Tokens),
}

impl ScheduleOptions {
    /// Takes an option if it is one of these.
    pub(crate) fn take(&mut self, item: &Item, errors: &mut Errors) -> bool {
        match item.key.to_string().as_str() {
            "cron" => {
                self.has_cron = true;
                self.cron = text(item, "0 3 * * *", spec::cron, errors);
                return true;
            }
            "tz" => self.zone = text(item, "Europe/Paris", spec::zone, errors),
            "missed" => self.missed = missed(item, errors),
            _ => return false,
        }
        self.others.push((item.key.clone(), attr::place(item)));
        true
    }

    /// Notes what does not go together.
    pub(crate) fn check(&self, errors: &mut Errors) {
        if !self.has_cron {
            for (option, place) in &self.others {
                errors.at_span(
                    *place,
                    format!("`{option}` goes with `cron`, which is missing: add `cron = \"0 3 * * *\"`"),
                );
            }
        }
        if let (Some(cron), Some(zone)) = (&self.cron, &self.zone)
            && let Err(problem) = spec::zone_beside(&cron.value())
        {
            errors.at(zone, problem);
        }
    }

    /// Where `cron` stands, for what is wrong with what it enqueues.
    pub(crate) fn span(&self) -> Span {
        self.cron.as_ref().map_or_else(Span::call_site, LitStr::span)
    }

    /// The `Schedule` of a payload type, if there is one. One that has no fields is made as it stands, any other by its
    /// `Default`.
    pub(crate) fn value(&self, payload: &Tokens, has_fields: bool, krate: &Tokens) -> Option<Tokens> {
        let cron = self.cron.as_ref()?;
        let make = if has_fields {
            // What is wrong with the type is wrong with its `cron`.
            let place = Span::call_site().located_at(cron.span());
            let payload = payload.clone().into_iter().map(|mut token| {
                token.set_span(token.span().located_at(place));
                token
            });
            let payload: Tokens = payload.collect();
            quote_spanned!(place=> || <#payload as #krate::__private::WithoutValues>::without_values())
        } else {
            quote!(|| #payload {})
        };
        let zone = self.zone.as_ref().map(|zone| quote!(.zone(#zone)));
        let missed = self.missed.as_ref().map(|missed| {
            let missed = missed.value(krate);
            quote!(.missed(#missed))
        });
        Some(quote!(#krate::Schedule::new(#cron, #make) #zone #missed))
    }
}

impl MissedOption {
    fn value(&self, krate: &Tokens) -> Tokens {
        match self {
            MissedOption::Known(Missed::RunAll(limit)) => quote!(#krate::Missed::RunAll { limit: #limit }),
            MissedOption::Known(Missed::Skip) => quote!(#krate::Missed::Skip),
            MissedOption::Known(Missed::RunOnce) => quote!(#krate::Missed::RunOnce),
            MissedOption::Expr(expr) => expr.clone(),
        }
    }
}

/// A text that can only be checked here, and so must stand here.
fn text(
    item: &Item,
    example: &str,
    check: fn(&str) -> Result<(), String>,
    errors: &mut Errors,
) -> Option<LitStr> {
    let key = &item.key;
    let expr = value(item, &format!("\"{example}\""), errors)?;
    let Some(Lit::Str(text)) = literal(expr) else {
        errors.at(
            expr,
            format!(
                "expected a text, `{key} = \"{example}\"`: it is checked while the program compiles; one that is not known \
                 by then is given to `Scheduler::register`"
            ),
        );
        return None;
    };
    match check(&text.value()) {
        Ok(()) => Some(text.clone()),
        Err(problem) => {
            errors.at(text, problem);
            None
        }
    }
}

fn missed(item: &Item, errors: &mut Errors) -> Option<MissedOption> {
    let expr = value(item, "\"run_once\"", errors)?;
    let text = match literal(expr) {
        None => return Some(MissedOption::Expr(expr.to_token_stream())),
        Some(Lit::Str(text)) => text.value(),
        Some(_) => String::new(),
    };
    match spec::missed(&text) {
        Ok(missed) => Some(MissedOption::Known(missed)),
        Err(problem) => {
            errors.at(expr, problem);
            None
        }
    }
}
