//! `#[task]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Ident, Item as SynItem, ItemFn, ReturnType, Type, Visibility};

use crate::attr::{self, Item, PAYLOAD_OPTIONS, PayloadOptions, Value};
use crate::errors::Errors;
use crate::function::{self, Argument, Role};
use crate::{payload, valid};

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
struct Handler {
    function: ItemFn,
    vis: Visibility,
    arguments: Vec<Argument>,
    krate: TokenStream,
    /// Calls of `Policy`: method, value.
    policy: Vec<(&'static str, TokenStream)>,
    is_blocking: bool,
    collect: Option<TokenStream>,
    made_payload: Option<MadePayload>,
    errors: Errors,
}

/// A payload type made of the arguments.
struct MadePayload {
    ident: Ident,
    options: PayloadOptions,
    derives: TokenStream,
}

impl Handler {
    fn read(mut function: ItemFn, items: &[Item], errors: Errors) -> Self {
        let mut handler = Handler {
            // The struct takes its place in public.
            vis: std::mem::replace(&mut function.vis, Visibility::Inherited),
            function,
            arguments: Vec::new(),
            krate: quote!(::asynq_server),
            policy: Vec::new(),
            is_blocking: false,
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
        if let Some(krate) = krate.and_then(|item| attr::krate(item, errors)) {
            self.krate = krate;
        }
        for item in items {
            match item.key.to_string().as_str() {
                "backoff" => {
                    let value = attr::backoff(item, &self.krate, errors);
                    self.policy.extend(value.map(|value| ("backoff", value)));
                }
                "concurrency" => {
                    let value = attr::concurrency(item, errors);
                    self.policy.extend(value.map(|value| ("concurrency", value)));
                }
                "timeout_cap" => {
                    let value = attr::duration(item, valid::positive_duration, errors);
                    self.policy.extend(value.map(|value| ("timeout_cap", value)));
                }
                "on_decode_error" => {
                    let value = attr::on_decode_error(item, &self.krate, errors);
                    self.policy.extend(value.map(|value| ("on_decode_error", value)));
                }
                "blocking" => {
                    self.is_blocking = true;
                    attr::flag(item, errors);
                }
                "collect" => self.collect = attr::path(item, "crate::TASKS", errors),
                _ => {}
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
        let mut made = MadePayload {
            ident: format_ident!(
                "{}",
                camel_case(&self.function.sig.ident),
                span = self.function.sig.ident.span()
            ),
            options: PayloadOptions::default(),
            derives: TokenStream::new(),
        };
        for item in items {
            let key = item.key.to_string();
            if HANDLER_OPTIONS.contains(&key.as_str()) {
                continue;
            }
            if is_payload {
                self.read_payload_option(&mut made, item);
            } else if PAYLOAD_OPTIONS.contains(&key.as_str()) {
                self.errors.at(&item.key, misplaced(&key));
            } else {
                attr::unknown(&item.key, &HANDLER_OPTIONS, &mut self.errors);
            }
        }
        payload::check_aliases(&made.options, &mut self.errors);
        self.made_payload = is_payload.then_some(made);
    }

    fn read_payload_option(&mut self, made: &mut MadePayload, item: &Item) {
        match (item.key.to_string().as_str(), &item.value) {
            ("payload", Value::Expr(syn::Expr::Path(path))) if path.path.get_ident().is_some() => {
                made.ident = path
                    .path
                    .get_ident()
                    .cloned()
                    .unwrap_or_else(|| made.ident.clone());
            }
            ("payload", _) => self.errors.at_span(
                attr::place(item),
                "expected the name of the payload type: `payload = ResizeImage`",
            ),
            ("derive", Value::List(list)) => made.derives = list.clone(),
            ("derive", _) => self.errors.at_span(
                attr::place(item),
                "expected derives for the payload type: `derive(Debug, Clone)`",
            ),
            _ if made.options.take(item, &mut self.errors) => {}
            _ => {
                let known: Vec<&str> = PAYLOAD_OPTIONS
                    .into_iter()
                    .chain(["payload", "derive"])
                    .chain(HANDLER_OPTIONS.into_iter().filter(|option| *option != "crate"))
                    .collect();
                attr::unknown(&item.key, &known, &mut self.errors);
            }
        }
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

    /// A function whose type leads to the handler: it returns a future that names it.
    ///
    /// The handler's type has the same name, which does no harm: types and functions have names apart. A constant or a
    /// unit struct in place of the function would keep local variables from having its name.
    fn async_callable(&self, docs: &[Attribute], cfgs: &[Attribute], is_good: bool) -> TokenStream {
        let (krate, vis, ident) = (&self.krate, &self.vis, &self.function.sig.ident);
        let (arguments, output) = if function::is_callable(&self.function) {
            (self.arguments.as_slice(), output(&self.function.sig.output))
        } else {
            (&[][..], quote!(()))
        };
        let names: Vec<Ident> = arguments
            .iter()
            .enumerate()
            .map(|(place, argument)| {
                let name = argument.name.clone();
                name.unwrap_or_else(|| format_ident!("argument_{place}"))
            })
            .collect();
        let types = arguments.iter().map(|argument| &argument.ty);
        let future = if is_good {
            quote!(#ident::#ident(#(#names),*))
        } else {
            let ignored = names.iter().map(|name| quote!(let _ = #name;));
            quote!({ #(#ignored)* ::core::future::pending() })
        };
        quote! {
            #[allow(non_camel_case_types)]
            #[doc(hidden)]
            #[derive(
                ::core::clone::Clone,
                ::core::marker::Copy,
                ::core::fmt::Debug,
                ::core::default::Default,
            )]
            #vis struct #ident {}

            #(#cfgs)*
            #(#docs)*
            #[allow(clippy::too_many_arguments)]
            #vis fn #ident(#(#names: #types),*) -> #krate::HandlerCall<#ident, #output> {
                #krate::HandlerCall::new(#future)
            }
        }
    }

    /// A unit struct that can be called: what a blocking function returns is its own, and cannot name the handler.
    fn blocking_callable(&self, docs: &[Attribute]) -> TokenStream {
        let (krate, vis, ident) = (&self.krate, &self.vis, &self.function.sig.ident);
        let call = function::is_callable(&self.function).then(|| {
            let types: Vec<_> = self.arguments.iter().map(|argument| &argument.ty).collect();
            let output = output(&self.function.sig.output);
            quote! {
                impl ::core::ops::Deref for #ident {
                    type Target = fn(#(#types),*) -> #output;

                    fn deref(&self) -> &Self::Target {
                        const CALL: fn(#(#types),*) -> #output = #ident::#ident;
                        &CALL
                    }
                }
            }
        });
        quote! {
            #[allow(non_camel_case_types)]
            #(#docs)*
            #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
            #vis struct #ident;

            const _: () = {
                #call

                impl #krate::IntoTaskHandler<#krate::AsItIs> for #ident {
                    type Handler = Self;

                    fn into_task_handler(self) -> Self {
                        self
                    }
                }
            };
        }
    }

    /// The type of the payload.
    fn payload_type(&self) -> TokenStream {
        if let Some(made) = &self.made_payload {
            return made.ident.to_token_stream();
        }
        let payload = self
            .arguments
            .iter()
            .find(|argument| argument.role == Role::Payload);
        payload.map_or_else(TokenStream::new, |argument| argument.ty.to_token_stream())
    }

    fn handler(&self) -> TokenStream {
        let (krate, ident) = (&self.krate, &self.function.sig.ident);
        let payload = self.payload_type();
        let bounds = self.extracted().map(|(_, ty)| {
            // The note of an unmet bound points at the argument, so no token of it comes from elsewhere.
            quote_spanned!(ty.span()=> #ty: __Extract<__AppState>)
        });
        let policy = (!self.policy.is_empty()).then(|| {
            let calls = self.policy.iter().map(|(method, value)| {
                let method = format_ident!("{method}");
                quote!(.#method(#value))
            });
            quote! {
                fn policy(&self) -> #krate::Policy {
                    #krate::Policy::new() #(#calls)*
                }
            }
        });
        let run = self.run();
        let state = if self.extracted().next().is_some() {
            quote!(state)
        } else {
            quote!(_)
        };
        let import = self.extracted().next().is_some().then(|| {
            quote!(
                use #krate::__private::Extract as __Extract;
            )
        });
        quote! {
            #import

            impl<__AppState> #krate::TaskHandler<__AppState> for #ident
            where
                __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
                #(#bounds,)*
            {
                type Task = #payload;

                fn name(&self) -> &'static str {
                    ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident))
                }

                #policy

                async fn run(
                    &self,
                    task: #krate::TaskParts<'_>,
                    #state: &__AppState,
                ) -> #krate::Outcome {
                    #run
                }
            }
        }
    }

    fn extracted(&self) -> impl Iterator<Item = (usize, &Type)> {
        self.arguments
            .iter()
            .enumerate()
            .filter(|(_, argument)| argument.role == Role::Extracted)
            .map(|(place, argument)| (place, &argument.ty))
    }

    fn run(&self) -> TokenStream {
        let (krate, ident) = (&self.krate, &self.function.sig.ident);
        let has_fields = self
            .arguments
            .iter()
            .any(|argument| argument.role != Role::Extracted);
        let payload = if has_fields { quote!(payload) } else { quote!(_) };
        let extractions = self.extracted().map(|(place, ty)| {
            let name = format_ident!("argument_{place}");
            quote! {
                let #name = match <#ty as __Extract<__AppState>>::extract(task, state).await {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(error) => return error.into_outcome(),
                };
            }
        });
        let arguments = self.arguments.iter().enumerate().map(|(place, argument)| {
            let name = &argument.name;
            match argument.role {
                Role::Payload => quote!(payload),
                Role::Field => quote!(payload.#name),
                Role::Extracted => format_ident!("argument_{place}").into_token_stream(),
            }
        });
        let call = quote!(Self::#ident(#(#arguments),*));
        let returned = self.returned();
        let end = if self.is_blocking {
            quote! {
                #krate::__private::run_blocking(task.context, move || {
                    let returned = #call;
                    #returned
                })
                .await
            }
        } else {
            quote! {
                let returned = #call.await;
                #returned
            }
        };
        quote! {
            let #payload = match #krate::__private::decode::<Self, __AppState>(task) {
                ::core::result::Result::Ok(payload) => payload,
                ::core::result::Result::Err(outcome) => return outcome,
            };
            #(#extractions)*
            #end
        }
    }

    /// Makes an outcome of what the function returned. Which trait does it depends on the type, see `__private`.
    fn returned(&self) -> TokenStream {
        let krate = &self.krate;
        let span = match &self.function.sig.output {
            ReturnType::Default => self.function.sig.ident.span(),
            ReturnType::Type(_, ty) => ty.span(),
        };
        // Only the call: an error of its type points at what the function returns.
        let call = quote_spanned!(span=> (&&&#krate::__private::Returned::of(&returned)).outcome(returned));
        quote! {
            {
                #[allow(unused_imports)]
                use #krate::__private::{ReturnedJson as _, ReturnedOther as _, ReturnedOutcome as _};
                #call
            }
        }
    }

    /// Stands in for the implementation of a function with mistakes.
    fn stub(&self) -> TokenStream {
        let (krate, ident) = (&self.krate, &self.function.sig.ident);
        quote! {
            impl<__AppState> #krate::TaskHandler<__AppState> for #ident
            where
                __AppState: ::core::marker::Send + ::core::marker::Sync + 'static,
            {
                type Task = #krate::__private::Broken;

                fn name(&self) -> &'static str {
                    ::core::stringify!(#ident)
                }

                async fn run(&self, _: #krate::TaskParts<'_>, _: &__AppState) -> #krate::Outcome {
                    #krate::Outcome::done()
                }
            }
        }
    }

    /// The payload type, if it is made of the arguments.
    fn payload(&self, cfgs: &[Attribute], is_good: bool) -> TokenStream {
        let Some(made) = &self.made_payload else {
            return TokenStream::new();
        };
        let (krate, vis, ident) = (&self.krate, &self.vis, &made.ident);
        let fields: Vec<&Argument> = self
            .arguments
            .iter()
            .filter(|argument| argument.role == Role::Field && argument.name.is_some())
            // A mistake of its own, reported already.
            .filter(|argument| function::is_plain(&argument.ty))
            .collect();
        let checks = fields
            .iter()
            .filter(|_| is_good)
            .map(|argument| self.no_task(argument));
        let lines = fields.iter().map(|argument| {
            let (attrs, name, ty) = (&argument.attrs, &argument.name, &argument.ty);
            let doc = (!attrs.iter().any(|attribute| attribute.path().is_ident("doc"))).then(|| {
                let text = format!("The argument `{}`.", name.to_token_stream());
                quote!(#[doc = #text])
            });
            quote!(#doc #(#attrs)* #vis #name: #ty)
        });
        let doc = self.payload_doc(made);
        let derives = &made.derives;
        let implementation = if is_good {
            payload::implementation(ident, &made.options, krate)
        } else {
            payload::stub(ident, krate)
        };
        let serde_path = quote!(#krate::__private::serde).to_string().replace(' ', "");
        quote! {
            #(#cfgs)*
            #[doc = #doc]
            #[derive(#krate::__private::serde::Serialize, #krate::__private::serde::Deserialize, #derives)]
            #[serde(crate = #serde_path)]
            #vis struct #ident {
                #(#lines),*
            }

            #(#cfgs)*
            const _: () = {
                #implementation
                #(#checks)*
            };
        }
    }

    fn payload_doc(&self, made: &MadePayload) -> TokenStream {
        let function = &self.function.sig.ident;
        let text =
            format!("The payload of the task that [`{function}`](struct@{function}) handles: its arguments.");
        if let Some((_, name)) = &made.options.name {
            let name = name.to_string();
            if let Ok(name) = syn::parse_str::<syn::LitStr>(&name) {
                let text = format!("{text}\n\nIts task type is `{}`.", name.value());
                return quote!(#text);
            }
        }
        quote!(#text)
    }

    /// Refuses a payload as an argument that would become a field of another.
    fn no_task(&self, argument: &Argument) -> TokenStream {
        let (krate, ty) = (&self.krate, &argument.ty);
        let text = format!(
            "`{}` is a payload with a task type of its own, so this handler cannot have another: write `#[task]` without `name`",
            ty.to_token_stream()
        );
        quote_spanned! {ty.span()=>
            const _: () = {
                #[allow(unused_imports)]
                use #krate::__private::NoTask as _;
                ::core::assert!(!#krate::__private::IsTask::<#ty>::IS_TASK, #text);
            };
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

fn misplaced(key: &str) -> String {
    if key == "timeout" {
        "`timeout` travels with the task: put it on the payload, `#[derive(Task)] #[task(timeout = …)]`; to stop this handler earlier write `timeout_cap = …`".to_owned()
    } else {
        format!(
            "`{key}` travels with the task: put it on the payload, `#[derive(Task)] #[task({key} = …)]`; or name the task, `#[task(name = \"…\")]`, and the arguments become the payload"
        )
    }
}

fn output(output: &ReturnType) -> TokenStream {
    match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    }
}

/// `resize_image` becomes `ResizeImage`.
fn camel_case(ident: &Ident) -> String {
    let text = ident.to_string();
    let words = text.trim_start_matches("r#").split('_');
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            first.chain(letters)
        })
        .collect()
}
