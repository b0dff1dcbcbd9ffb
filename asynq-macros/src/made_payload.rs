//! A payload type that is made of the arguments of a handler function.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Ident, LitStr};

use crate::attr::{self, Item, Value};
use crate::errors::Errors;
use crate::function::{self, Argument, Role};
use crate::handler::{HANDLER_OPTIONS, Handler};
use crate::payload;
use crate::payload_options::{PAYLOAD_OPTIONS, PayloadOptions};

/// A payload type made of the arguments.
pub(crate) struct MadePayload {
    pub(crate) ident: Ident,
    pub(crate) options: PayloadOptions,
    derives: TokenStream,
}

impl MadePayload {
    /// Named after the function until an option says otherwise.
    pub(crate) fn of(function: &Ident) -> Self {
        MadePayload {
            ident: format_ident!("{}", camel_case(function), span = function.span()),
            options: PayloadOptions::default(),
            derives: TokenStream::new(),
        }
    }

    /// Takes an option, which is one of these or wrong.
    pub(crate) fn read(&mut self, item: &Item, errors: &mut Errors) {
        match (item.key.to_string().as_str(), &item.value) {
            ("payload", Value::Expr(Expr::Path(path))) if path.path.get_ident().is_some() => {
                self.ident = path.path.get_ident().unwrap_or(&self.ident).clone();
            }
            ("payload", _) => errors.at_span(
                attr::place(item),
                "expected the name of the payload type: `payload = ResizeImage`",
            ),
            ("derive", Value::List(list)) => self.derives = list.clone(),
            ("derive", _) => errors.at_span(
                attr::place(item),
                "expected derives for the payload type: `derive(Debug, Clone)`",
            ),
            _ if self.options.take(item, errors) => {}
            _ => {
                let known: Vec<&str> = PAYLOAD_OPTIONS
                    .into_iter()
                    .chain(["payload", "derive"])
                    .chain(HANDLER_OPTIONS.into_iter().filter(|option| *option != "crate"))
                    .collect();
                attr::unknown(&item.key, &known, errors);
            }
        }
    }
}

impl Handler {
    /// The payload type, if it is made of the arguments.
    pub(crate) fn payload(&self, cfgs: &[Attribute], is_good: bool) -> TokenStream {
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
            payload::implementation(ident, !fields.is_empty(), &made.options, krate)
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
            if let Ok(name) = syn::parse_str::<LitStr>(&name) {
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
