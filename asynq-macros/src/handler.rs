//! `#[task]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, Item as SynItem, ItemFn, Visibility};

use crate::attr::{self, Item};
use crate::errors::Errors;
use crate::function::{self, Argument};
use crate::made_payload::MadePayload;
use crate::payload_options::PAYLOAD_OPTIONS;
use crate::policy::PolicyOptions;
use crate::schedule::{SCHEDULE_OPTIONS, ScheduleOptions};
use crate::{payload, values};

pub(crate) const HANDLER_OPTIONS: [&str; 7] = [
    "backoff",
    "concurrency",
    "timeout_cap",
    "on_decode_error",
    "blocking",
    "collect",
    "crate",
];

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let function = match syn::parse2::<SynItem>(item.clone()) {
        Ok(SynItem::Fn(function)) => function,
        Ok(other) => {
            refuse_item(&other, &mut errors);
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let items = attr::items(options, &mut errors);
    Handler::read(function, &items, errors).expand()
}

fn refuse_item(item: &SynItem, errors: &mut Errors) {
    let text = match item {
        SynItem::Struct(_) | SynItem::Enum(_) => {
            "`#[task]` is for functions; on a payload it belongs to `#[derive(Task)]` and stands below it"
        }
        _ => "`#[task]` is for functions: `#[task] async fn handle(task: MyTask)`",
    };
    // The first token is enough to point at.
    let first = item.to_token_stream().into_iter().next();
    errors.at_span(first.map_or_else(Span::call_site, |token| token.span()), text);
}

/// A function under `#[task]`, read and judged.
pub(crate) struct Handler {
    pub(crate) function: ItemFn,
    pub(crate) vis: Visibility,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) krate: TokenStream,
    pub(crate) policy: PolicyOptions,
    pub(crate) is_blocking: bool,
    /// Of a payload that is not made here.
    pub(crate) schedule: ScheduleOptions,
    pub(crate) collect: Option<TokenStream>,
    pub(crate) made_payload: Option<MadePayload>,
    pub(crate) errors: Errors,
}

impl Handler {
    fn read(mut function: ItemFn, items: &[Item], errors: Errors) -> Self {
        let mut handler = Handler {
            // The struct takes its place in public.
            vis: std::mem::replace(&mut function.vis, Visibility::Inherited),
            function,
            arguments: Vec::new(),
            krate: quote!(::asynq_server),
            policy: PolicyOptions::default(),
            is_blocking: false,
            schedule: ScheduleOptions::default(),
            collect: None,
            made_payload: None,
            errors,
        };
        attr::check_repeated(items, &mut handler.errors);
        handler.read_options(items);
        handler.read_payload(items);
        handler.read_arguments(items);
        handler
    }

    fn read_options(&mut self, items: &[Item]) {
        let errors = &mut self.errors;
        let krate = items.iter().find(|item| item.key == "crate");
        if let Some(krate) = krate.and_then(|item| values::krate(item, errors)) {
            self.krate = krate;
        }
        for item in items {
            match item.key.to_string().as_str() {
                "blocking" => {
                    self.is_blocking = true;
                    values::flag(item, errors);
                }
                "collect" => self.collect = values::path(item, "crate::TASKS", errors),
                _ => {
                    self.policy.take(item, &self.krate, errors);
                }
            }
        }
        let cap = items.iter().find(|item| item.key == "timeout_cap");
        if let Some(cap) = cap.filter(|_| self.is_blocking) {
            self.errors.at_span(
                attr::place(cap),
                "a thread cannot be stopped from outside: take a `Context` and look at `cx.is_cancelled()`, and set the task's own `timeout`",
            );
        }
    }

    /// With a name, the options of a payload type; without, they are not for here.
    fn read_payload(&mut self, items: &[Item]) {
        let is_payload = items.iter().any(|item| item.key == "name");
        let mut made = MadePayload::of(&self.function.sig.ident);
        for item in items {
            let key = item.key.to_string();
            if HANDLER_OPTIONS.contains(&key.as_str()) {
                continue;
            }
            if is_payload {
                made.read(item, &mut self.errors);
            } else if !self.schedule.take(item, &mut self.errors) {
                refuse_option(item, &mut self.errors);
            }
        }
        payload::check_aliases(&made.options, &mut self.errors);
        made.options.schedule.check(&mut self.errors);
        self.schedule.check(&mut self.errors);
        self.made_payload = is_payload.then_some(made);
    }

    fn read_arguments(&mut self, items: &[Item]) {
        let blocking = items.iter().find(|item| item.key == "blocking");
        let blocking = blocking.map(|item| item.key.span());
        function::check_signature(&self.function, blocking, &mut self.errors);
        self.arguments =
            function::arguments(&mut self.function, self.made_payload.is_some(), &mut self.errors);
    }

    fn expand(mut self) -> TokenStream {
        let vis = self.vis.clone();
        let (docs, others) = std::mem::take(&mut self.function.attrs)
            .into_iter()
            .partition::<Vec<Attribute>, _>(|attribute| attribute.path().is_ident("doc"));
        let cfgs: Vec<_> = others
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
            .cloned()
            .collect();
        self.function.attrs = others;

        let errors = std::mem::take(&mut self.errors);
        let is_good = errors.is_empty();
        let errors = errors.into_tokens();
        if self.function.sig.receiver().is_some() {
            // Where methods are, neither structs nor implementations may stand.
            let function = &self.function;
            return quote!(#vis #function #errors);
        }
        let payload = self.payload(&cfgs, is_good);
        let callable = if self.is_blocking && is_good {
            self.blocking_callable(&docs)
        } else {
            self.async_callable(&docs, &cfgs, is_good)
        };
        let function = self.body(is_good);
        let handler = if is_good { self.handler() } else { self.stub() };
        let collected = self.collected(&cfgs, is_good);
        quote! {
            #payload

            #(#cfgs)*
            #callable

            #(#cfgs)*
            const _: () = {
                #function
                #handler
            };
            #collected
            #errors
        }
    }

    /// What the user wrote, as an associated function of the handler's type: not public, and not boxed when the server
    /// calls it.
    fn body(&self, is_good: bool) -> TokenStream {
        let (ident, function) = (&self.function.sig.ident, &self.function);
        if is_good {
            // A handler owns its arguments, asks for as many as it needs, and is async, whatever its body does.
            quote! {
                impl #ident {
                    #[allow(
                        clippy::needless_pass_by_value,
                        clippy::too_many_arguments,
                        clippy::unused_async
                    )]
                    #function
                }
            }
        } else {
            // It would count as unused.
            quote!(#[allow(dead_code)] #function)
        }
    }

    /// Adds the handler to the list that `collect` names.
    fn collected(&self, cfgs: &[Attribute], is_good: bool) -> Option<TokenStream> {
        let list = self.collect.as_ref().filter(|_| is_good)?;
        let (krate, ident) = (&self.krate, &self.function.sig.ident);
        let linkme = quote!(#krate::__private::linkme);
        Some(quote! {
            #(#cfgs)*
            const _: () = {
                #[#linkme::distributed_slice(#list)]
                #[linkme(crate = #linkme)]
                static __ASYNQ_HANDLER: #list = |handlers| handlers.handler(#ident);
            };
        })
    }
}

/// An option that is not one of a handler.
fn refuse_option(item: &Item, errors: &mut Errors) {
    let key = item.key.to_string();
    if PAYLOAD_OPTIONS.contains(&key.as_str()) {
        errors.at(&item.key, misplaced(&key));
    } else {
        let known: Vec<&str> = HANDLER_OPTIONS.into_iter().chain(SCHEDULE_OPTIONS).collect();
        attr::unknown(&item.key, &known, errors);
    }
}

fn misplaced(key: &str) -> String {
    if key == "timeout" {
        "`timeout` travels with the task: put it on the payload, `#[derive(Task)] #[task(timeout = …)]`; to stop this handler earlier write `timeout_cap = …`".to_owned()
    } else {
        format!(
            "`{key}` travels with the task: put it on the payload, `#[derive(Task)] #[task({key} = …)]`; or name the task, `#[task(name = \"…\")]`, and the arguments become the payload"
        )
    }
}
