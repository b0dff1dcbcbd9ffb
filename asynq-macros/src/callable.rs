//! What a handler function becomes for those who call it or name it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Ident, ReturnType};

use crate::function;
use crate::handler::Handler;

impl Handler {
    /// A function whose type leads to the handler: it returns a future that names it.
    ///
    /// The handler's type has the same name, which does no harm: types and functions have names apart. A constant or a
    /// unit struct in place of the function would keep local variables from having its name.
    pub(crate) fn async_callable(
        &self,
        docs: &[Attribute],
        cfgs: &[Attribute],
        is_good: bool,
    ) -> TokenStream {
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
            #vis fn #ident(#(#names: #types),*) -> #krate::HandlerCall<#ident, impl ::core::future::Future<Output = #output>> {
                #krate::HandlerCall::new(#future)
            }
        }
    }

    /// A unit struct that can be called: what a blocking function returns is its own, and cannot name the handler.
    pub(crate) fn blocking_callable(&self, docs: &[Attribute]) -> TokenStream {
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
}

fn output(output: &ReturnType) -> TokenStream {
    match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    }
}
