//! `impl TaskHandler` for the type of a handler function.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, ReturnType, Type};

use crate::function::Role;
use crate::handler::Handler;

impl Handler {
    pub(crate) fn handler(&self) -> TokenStream {
        let (krate, ident) = (&self.krate, &self.function.sig.ident);
        let payload = self.payload_type();
        let bounds = self.extracted().map(|(_, ty)| {
            // The note of an unmet bound points at the argument, so no token of it comes from elsewhere.
            quote_spanned!(ty.span()=> #ty: __Extract<__AppState>)
        });
        let policy = (!self.policy.0.is_empty()).then(|| {
            let calls = self.policy.0.iter().map(|(method, value)| {
                let method = format_ident!("{method}");
                quote!(.#method(#value))
            });
            quote! {
                fn policy(&self) -> #krate::Policy {
                    #krate::Policy::new() #(#calls)*
                }
            }
        });
        let schedule = self.schedule(&payload);
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

                #schedule

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

    /// When the clock enqueues the payload, if the handler says so instead of the payload.
    fn schedule(&self, payload: &TokenStream) -> Option<TokenStream> {
        let krate = &self.krate;
        let schedule = self.schedule.value(payload, true, krate)?;
        let text = format!(
            "`{payload}` says itself when it is enqueued: leave out the `cron` here, or that of `#[derive(Task)]`"
        );
        let check = quote_spanned! {self.schedule.span()=>
            const _: () = {
                #[allow(unused_imports)]
                use #krate::__private::NotPeriodic as _;
                ::core::assert!(!#krate::__private::IsPeriodic::<#payload>::IS_PERIODIC, #text);
            };
        };
        Some(quote! {
            fn schedule(&self) -> ::core::option::Option<#krate::Schedule> {
                #check
                ::core::option::Option::Some(#schedule)
            }
        })
    }

    /// The type of the payload.
    pub(crate) fn payload_type(&self) -> TokenStream {
        if let Some(made) = &self.made_payload {
            return made.ident.to_token_stream();
        }
        let payload = self
            .arguments
            .iter()
            .find(|argument| argument.role == Role::Payload);
        payload.map_or_else(TokenStream::new, |argument| argument.ty.to_token_stream())
    }

    fn extracted(&self) -> impl Iterator<Item = (usize, &Type)> {
        self.arguments
            .iter()
            .enumerate()
            .filter(|(_, argument)| argument.role == Role::Extracted)
            .map(|(place, argument)| (place, &argument.ty))
    }

    pub(crate) fn run(&self) -> TokenStream {
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
        let end = if self.is_blocking {
            let outcome = self.outcome_of(&call);
            quote!(#krate::__private::run_blocking(task.context, move || { #outcome }).await)
        } else {
            self.outcome_of(&quote!(#call.await))
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
    fn outcome_of(&self, call: &TokenStream) -> TokenStream {
        let krate = &self.krate;
        let span = match &self.function.sig.output {
            ReturnType::Default => self.function.sig.ident.span(),
            ReturnType::Type(_, ty) => ty.span(),
        };
        // Only this call: an error of its type points at what the function returns. The variable is of the same place, since
        // in a macro of the user's those of two places can be two.
        let returned = Ident::new("returned", span);
        let outcome =
            quote_spanned!(span=> (&&&#krate::__private::Returned::of(&#returned)).outcome(#returned));
        quote! {
            let #returned = #call;
            {
                #[allow(unused_imports)]
                use #krate::__private::{ReturnedJson as _, ReturnedOther as _, ReturnedOutcome as _};
                #outcome
            }
        }
    }

    /// Stands in for the implementation of a function with mistakes.
    pub(crate) fn stub(&self) -> TokenStream {
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
}
