//! The `#[async_task]` attribute of `bedrock-agentcore`.
//!
//! Thin on purpose: it checks what it is put on and wraps the body; everything that happens at run
//! time is in `bedrock_agentcore::AsyncTask`.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens, TokenTree};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{FnArg, ItemFn, LitStr, Pat, ReturnType, Token, parse_quote};

/// Tracks an async function as a task: while it runs, the agent is busy.
///
/// A call returns an `AsyncTask`, a future that can be spawned in the background (`.spawn()`, or
/// `tokio::spawn`) or awaited in place; awaited, it yields a `Result`, for a task may be cancelled
/// or panic. The function's value is kept as the task's result, or, if it is an `Err`, as its error:
/// it implements `serde::Serialize`, or is a `Result` of something that does.
///
/// The task is named after the function, or as `#[async_task(name = "...")]` says.
///
/// ```
/// # use bedrock_agentcore::async_task;
/// #[async_task]
/// async fn background_work(rows: u64) -> Result<u64, std::io::Error> {
///     Ok(rows * 2)
/// }
/// ```
#[proc_macro_attribute]
pub fn async_task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), item.into()).unwrap_or_else(|errors| errors.to_compile_error()).into()
}

fn expand(arguments: Tokens, item: Tokens) -> syn::Result<Tokens> {
    let function: ItemFn = syn::parse2(item)?;
    let mut errors = Errors::default();
    let arguments = errors.keep(syn::parse2::<Arguments>(arguments)).unwrap_or_default();
    check(&function, &mut errors);
    errors.into_result()?;

    let ItemFn { attrs, vis, mut sig, block, .. } = function;
    let name = arguments.name.unwrap_or_else(|| LitStr::new(&sig.ident.to_string(), sig.ident.span()));
    let value = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, value) => quote!(#value),
    };
    let typed = say_type(&value);
    sig.asyncness = None;
    let kept = keep_arguments(&mut sig.inputs);
    sig.output = parse_quote!(
        -> ::bedrock_agentcore::AsyncTask<impl ::core::future::Future<Output = #value>>
    );
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            ::bedrock_agentcore::AsyncTask::new(#name, async move {
                #typed
                #(#kept)*
                #block
            })
        }
    })
}

/// Says what the block comes to, so that `?` and coercions work as in a function.
fn say_type(value: &Tokens) -> Option<Tokens> {
    // An `impl Trait` has no name that could be said.
    (!mentions_impl(value.clone())).then(|| {
        quote! {
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            if false {
                let value: #value = ::core::unreachable!();
                return value;
            }
        }
    })
}

fn mentions_impl(tokens: Tokens) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => mentions_impl(group.stream()),
        _ => false,
    })
}

/// Moves every argument into the task, as an async function does: one that is not used, such as a
/// permit, is held until the task ends. Returns the statements that do so; a pattern is taken apart
/// there, under a plain name in the signature.
fn keep_arguments(arguments: &mut Punctuated<FnArg, Token![,]>) -> Vec<Tokens> {
    let mut kept = Vec::new();
    for (index, argument) in arguments.iter_mut().enumerate() {
        match argument {
            FnArg::Receiver(receiver) => {
                let this = &receiver.self_token;
                kept.push(quote!(let _ = &#this;));
            }
            FnArg::Typed(argument) => {
                let name = match &*argument.pat {
                    Pat::Ident(plain) if plain.by_ref.is_none() && plain.subpat.is_none() => {
                        plain.ident.clone()
                    }
                    _ => format_ident!("argument{index}", span = Span::mixed_site()),
                };
                let pattern = std::mem::replace(&mut *argument.pat, parse_quote!(#name));
                kept.push(quote!(let #pattern = #name;));
            }
        }
    }
    kept
}

fn check(function: &ItemFn, errors: &mut Errors) {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        errors.add(syn::Error::new_spanned(
            signature.fn_token,
            "#[async_task] can only be applied to async functions; for blocking work use `Tasks::task(..).spawn_blocking(..)`",
        ));
    }
    if let Some(constness) = &signature.constness {
        errors.add(syn::Error::new_spanned(constness, "#[async_task] cannot be applied to a const function"));
    }
    if let Some(variadic) = &signature.variadic {
        errors
            .add(syn::Error::new_spanned(variadic, "#[async_task] cannot be applied to a variadic function"));
    }
}

#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        let key: syn::Ident = input.parse()?;
        if key != "name" {
            return Err(syn::Error::new_spanned(key, "unknown argument: expected `name = \"...\"`"));
        }
        input.parse::<Token![=]>()?;
        let name = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        Ok(Self { name: Some(name) })
    }
}

/// Errors are collected, so that an author sees all of them at once.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    fn into_result(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
