//! `#[derive(Task)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Generics, Ident, Meta};

use crate::attr;
use crate::errors::Errors;
use crate::payload_options::{PAYLOAD_OPTIONS, PayloadOptions};
use crate::values;

pub(crate) fn derive(item: &DeriveInput, default_crate: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    check_generics(&item.generics, &mut errors);
    let is_generic = !errors.is_empty();
    if let Data::Union(data) = &item.data {
        errors.at(data.union_token, "a payload is a struct or an enum");
    }
    let (options, krate) = options(item, default_crate, &mut errors);
    if errors.is_empty() {
        return implementation(&item.ident, has_fields(&item.data), &options, &krate);
    }
    let errors = errors.into_tokens();
    // Whatever uses the type works as far as it can, so that no second error follows.
    let stub = (!is_generic).then(|| stub(&item.ident, &krate));
    quote!(#errors #stub)
}

fn has_fields(data: &Data) -> bool {
    !matches!(data, Data::Struct(data) if data.fields.is_empty())
}

fn check_generics(generics: &Generics, errors: &mut Errors) {
    for lifetime in generics.lifetimes() {
        errors.at(
            lifetime,
            "a payload owns its data, because it outlives the call that enqueues it: use `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
        );
    }
    for parameter in generics.type_params() {
        errors.at(
            &parameter.ident,
            "a payload type cannot be generic: one task type has one payload; define a struct for each",
        );
    }
    for parameter in generics.const_params() {
        errors.at(
            &parameter.ident,
            "a payload type cannot be generic: one task type has one payload; define a struct for each",
        );
    }
}

fn options(
    item: &DeriveInput,
    default_crate: &TokenStream,
    errors: &mut Errors,
) -> (PayloadOptions, TokenStream) {
    let mut options = PayloadOptions::default();
    let mut krate = None;
    let mut items = Vec::new();
    for attribute in task_attributes(&item.attrs) {
        match &attribute.meta {
            Meta::List(list) => items.extend(attr::items(list.tokens.clone(), errors)),
            _ => errors.at(attribute, "expected `#[task(name = \"…\")]`"),
        }
    }
    attr::check_repeated(&items, errors);
    let mut has_name = false;
    for item in &items {
        has_name |= item.key == "name";
        if item.key == "crate" {
            krate = values::krate(item, errors);
        } else if !options.take(item, errors) {
            unknown(&item.key, errors);
        }
    }
    check_aliases(&options, errors);
    options.schedule.check(errors);
    if !has_name && errors.is_empty() {
        errors.at(
            &item.ident,
            "the task type is missing: write `#[task(name = \"email:welcome\")]` below the derive",
        );
    }
    (options, krate.unwrap_or_else(|| default_crate.clone()))
}

fn unknown(key: &Ident, errors: &mut Errors) {
    let text = key.to_string();
    if crate::handler::HANDLER_OPTIONS.contains(&text.as_str()) {
        errors.at(
            key,
            format!(
                "`{text}` is up to whoever runs the task: put it on the handler, `#[task({text} …)] async fn`"
            ),
        );
    } else {
        attr::unknown(key, &PAYLOAD_OPTIONS, errors);
    }
}

fn task_attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("task"))
}

/// Two names of one task that are the same would be two handlers for one type.
pub(crate) fn check_aliases(options: &PayloadOptions, errors: &mut Errors) {
    let name = options.name.iter().map(|(_, name)| name);
    let names: Vec<&TokenStream> = name.chain(&options.aliases).collect();
    for (place, alias) in names.iter().enumerate().skip(1) {
        if names[..place]
            .iter()
            .any(|other| other.to_string() == alias.to_string())
        {
            errors.at(alias, "this is a name of the task already");
        }
    }
}

/// `impl Task` for a type without mistakes.
pub(crate) fn implementation(
    ident: &Ident,
    has_fields: bool,
    options: &PayloadOptions,
    krate: &TokenStream,
) -> TokenStream {
    let Some((_, name)) = &options.name else {
        return TokenStream::new();
    };
    let aliases = (!options.aliases.is_empty()).then(|| {
        let aliases = &options.aliases;
        quote!(const ALIASES: &'static [&'static str] = &[#(#aliases),*];)
    });
    let codec = options.codec.clone().unwrap_or_else(|| quote!(#krate::JsonCodec));
    // An error about the codec is one about the type.
    let codec = quote_spanned!(ident.span()=> type Codec = #codec;);
    let configured =
        options
            .configure
            .iter()
            .fold(quote!(#krate::TaskOptions::new()), |before, (method, value)| {
                let method = Ident::new(method, ident.span());
                quote!(#krate::Configure::#method(#before, #value))
            });
    let options_of_type = (!options.configure.is_empty()).then(|| {
        quote! {
            fn options() -> #krate::TaskOptions {
                #configured
            }
        }
    });
    let schedule = options.schedule.value(&quote!(#ident), has_fields, krate);
    let periodic = schedule.as_ref().map(|schedule| {
        quote! {
            #[automatically_derived]
            impl #krate::Periodic for #ident {
                fn schedule() -> #krate::Schedule {
                    #schedule
                }
            }
        }
    });
    let schedule = schedule.map(|_| {
        quote! {
            fn periodic() -> ::core::option::Option<#krate::Schedule> {
                ::core::option::Option::Some(<Self as #krate::Periodic>::schedule())
            }
        }
    });
    let checks = &options.checks;
    let checks = (!checks.is_empty()).then(|| quote!(const _: () = { #(#checks)* };));
    quote! {
        #[automatically_derived]
        impl #krate::Task for #ident {
            const TYPE: &'static str = #name;
            #aliases
            #codec
            #options_of_type
            #schedule
        }
        #periodic
        #checks
    }
}

/// Stands in for `impl Task` of a type with mistakes.
pub(crate) fn stub(ident: &Ident, krate: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #krate::Task for #ident {
            const TYPE: &'static str = "";
            type Codec = #krate::__private::Broken;
        }
    }
}
