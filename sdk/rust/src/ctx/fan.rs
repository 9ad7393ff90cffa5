//! Many branches at once: all of them, the first of them, or one for each item of a list.

use crate::ctx::Ctx;
use crate::ctx::branch::{IntoBranch, Scoped};
use crate::error::Result;
use crate::replay::{ScopeId, ScopeKind, Shared};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// How many items of [`Ctx::map`] run at once unless it says otherwise.
const CONCURRENCY: usize = 32;

/// The branches of [`Ctx::all`]: a list of one sort, or a tuple of up to eight sorts.
pub trait AllOf {
    /// A list or tuple of what they give.
    type Output;
    #[doc(hidden)]
    fn all(self, fan: Fan) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// The branches of [`Ctx::race`]: a list of one sort, or a tuple of two or three sorts.
pub trait RaceOf {
    /// Which one won, and what it gave.
    type Output;
    #[doc(hidden)]
    fn race(self, fan: Fan) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// Which of two branches won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Race2<A, B> {
    /// The first one.
    A(A),
    /// The second one.
    B(B),
}

/// Which of three branches won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Race3<A, B, C> {
    /// The first one.
    A(A),
    /// The second one.
    B(B),
    /// The third one.
    C(C),
}

impl Ctx {
    /// Runs branches side by side and waits for all of them. If some fail, the error of the first
    /// of those in the list is raised, once all have ended.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Result};
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let (pages, words): (u32, u64) = ctx
    ///     .all((ctx.step("pages", || async { Ok(3) }), ctx.call("count words", "text")))
    ///     .await?;
    /// # let _ = (pages, words); Ok(()) }
    /// ```
    pub fn all<B: AllOf + Send>(
        &self,
        branches: B,
    ) -> impl Future<Output = Result<B::Output>> + Send {
        let shared = self.shared.clone();
        async move {
            let fan = Fan::open(shared, "all", ScopeKind::All);
            branches.all(fan).await
        }
    }

    /// Runs branches side by side until the first one ends, with a value or an error. The others
    /// are given up, and recorded as lost.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Race2, Result};
    /// # use std::time::Duration;
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let quick = ctx.step("ask", || async { Ok("yes".to_owned()) });
    /// match ctx.race((quick, ctx.sleep(Duration::from_secs(60)))).await? {
    ///     Race2::A(answer) => println!("{answer}"),
    ///     Race2::B(()) => println!("nobody answered"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn race<B: RaceOf + Send>(
        &self,
        branches: B,
    ) -> impl Future<Output = Result<B::Output>> + Send {
        let shared = self.shared.clone();
        async move {
            let fan = Fan::open(shared, "race", ScopeKind::First);
            branches.race(fan).await
        }
    }

    /// Runs a branch for each item, some at once, and gives their values in the items' order.
    /// After an error no further item is begun, and the error raised once the others have ended.
    ///
    /// ```no_run
    /// # use polos_sdk::{Ctx, Result};
    /// # async fn body(ctx: Ctx) -> Result<()> {
    /// let sizes: Vec<usize> = ctx
    ///     .map("sizes", ["a.txt", "b.txt"], |ctx, name| async move {
    ///         ctx.step("size", move || async move { Ok(std::fs::read(name)?.len()) }).await
    ///     })
    ///     .key(|name| name.to_string())
    ///     .concurrency(8)
    ///     .await?;
    /// # let _ = sizes; Ok(()) }
    /// ```
    pub fn map<T, O, F, Fut>(
        &self,
        name: impl AsRef<str>,
        items: impl IntoIterator<Item = T>,
        each: F,
    ) -> Map<T, O>
    where
        T: Send + 'static,
        F: Fn(Self, T) -> Fut + Send + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
    {
        let ctx = self.clone();
        Map {
            shared: self.shared.clone(),
            name: name.as_ref().into(),
            items: items.into_iter().collect(),
            each: Box::new(move |item| Box::pin(each(ctx.clone(), item))),
            key: None,
            concurrency: CONCURRENCY,
        }
    }
}

/// The scope of several branches, while they run.
#[derive(Clone)]
pub struct Fan {
    shared: Arc<Shared>,
    scope: ScopeId,
}

impl std::fmt::Debug for Fan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fan").field(&self.scope).finish()
    }
}

impl Fan {
    fn open(shared: Arc<Shared>, name: &str, kind: ScopeKind) -> Self {
        let mut core = shared.core();
        let parent = core.scope;
        let scope = core.machine.open_scope(parent, name, kind);
        drop(core);
        Self { shared, scope }
    }

    fn scope(&self, name: &str) -> ScopeId {
        self.shared.core().machine.open_scope(self.scope, name, ScopeKind::Sequence)
    }

    fn branch<B: IntoBranch>(&self, index: usize, branch: B) -> Scoped<B::Future> {
        let scope = match branch.scope_name() {
            Some(name) => self.scope(name),
            None => self.scope(&index.to_string()),
        };
        Scoped::new(self.shared.clone(), scope, branch.into_branch())
    }

    fn close(&self) {
        self.shared.core().machine.close_scope(self.scope);
    }

    /// Drops branches that have lost.
    fn lose<T>(&self, losers: T) {
        self.shared.core().losing += 1;
        drop(losers);
        self.shared.core().losing -= 1;
        self.close();
    }
}

impl<B> AllOf for Vec<B>
where
    B: IntoBranch + Send,
    B::Output: Send,
{
    type Output = Vec<B::Output>;

    async fn all(self, fan: Fan) -> Result<Self::Output> {
        let count = self.len();
        let mut running: FuturesUnordered<_> = self
            .into_iter()
            .enumerate()
            .map(|(i, branch)| fan.branch(i, branch).map(move |ended| (i, ended)))
            .collect();
        let mut outcomes: Vec<Option<Result<B::Output>>> = (0..count).map(|_| None).collect();
        while let Some((i, ended)) = running.next().await {
            outcomes[i] = Some(ended);
        }
        fan.close();
        outcomes.into_iter().flatten().collect()
    }
}

impl<B, const N: usize> AllOf for [B; N]
where
    B: IntoBranch + Send,
    B::Output: Send,
{
    type Output = Vec<B::Output>;

    async fn all(self, fan: Fan) -> Result<Self::Output> {
        Vec::from(self).all(fan).await
    }
}

impl<B> RaceOf for Vec<B>
where
    B: IntoBranch + Send,
    B::Output: Send,
{
    type Output = (usize, B::Output);

    async fn race(self, fan: Fan) -> Result<Self::Output> {
        let mut running: FuturesUnordered<_> = self
            .into_iter()
            .enumerate()
            .map(|(i, branch)| fan.branch(i, branch).map(move |ended| (i, ended)))
            .collect();
        let first = running.next().await;
        fan.lose(running);
        match first {
            Some((i, ended)) => ended.map(|value| (i, value)),
            None => Err(crate::Error::msg("a race without branches has no winner")),
        }
    }
}

impl<B, const N: usize> RaceOf for [B; N]
where
    B: IntoBranch + Send,
    B::Output: Send,
{
    type Output = (usize, B::Output);

    async fn race(self, fan: Fan) -> Result<Self::Output> {
        Vec::from(self).race(fan).await
    }
}

/// What a branch that surely has ended gave.
fn outcome<T, F: Future<Output = Result<T>> + Unpin>(done: &mut MaybeDone<F>) -> Result<T> {
    Pin::new(done)
        .take_output()
        .unwrap_or_else(|| Err(crate::Error::msg("a branch ended without an outcome")))
}

macro_rules! all_of_tuple {
    ($($B:ident $b:ident $i:tt),*) => {
        impl<$($B),*> AllOf for ($($B,)*)
        where
            $($B: IntoBranch + Send, $B::Output: Send,)*
        {
            type Output = ($($B::Output,)*);

            async fn all(self, fan: Fan) -> Result<Self::Output> {
                $(let mut $b = maybe_done(fan.branch($i, self.$i));)*
                std::future::poll_fn(|context| {
                    let mut ready = true;
                    $(ready &= Pin::new(&mut $b).poll(context).is_ready();)*
                    if ready { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                fan.close();
                Ok(($(outcome(&mut $b)?,)*))
            }
        }
    };
}

all_of_tuple!(A a 0);
all_of_tuple!(A a 0, B b 1);
all_of_tuple!(A a 0, B b 1, C c 2);
all_of_tuple!(A a 0, B b 1, C c 2, D d 3);
all_of_tuple!(A a 0, B b 1, C c 2, D d 3, E e 4);
all_of_tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
all_of_tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
all_of_tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);

macro_rules! race_of_tuple {
    ($Winner:ident; $($B:ident $b:ident $i:tt),*) => {
        impl<$($B),*> RaceOf for ($($B,)*)
        where
            $($B: IntoBranch + Send, $B::Output: Send,)*
        {
            type Output = $Winner<$($B::Output),*>;

            async fn race(self, fan: Fan) -> Result<Self::Output> {
                $(let mut $b = fan.branch($i, self.$i);)*
                let winner = std::future::poll_fn(|context| {
                    $(if let Poll::Ready(ended) = Pin::new(&mut $b).poll(context) {
                        return Poll::Ready(ended.map($Winner::$B));
                    })*
                    Poll::Pending
                })
                .await;
                fan.lose(($($b,)*));
                winner
            }
        }
    };
}

race_of_tuple!(Race2; A a 0, B b 1);
race_of_tuple!(Race3; A a 0, B b 1, C c 2);

type Each<T, O> = Box<dyn Fn(T) -> BoxFuture<'static, Result<O>> + Send>;
type KeyOf<T> = Box<dyn Fn(&T) -> String + Send>;

/// A branch for each item: see [`Ctx::map`].
#[must_use = "a map does nothing unless you `.await` it"]
pub struct Map<T, O> {
    shared: Arc<Shared>,
    name: Arc<str>,
    items: Vec<T>,
    each: Each<T, O>,
    key: Option<KeyOf<T>>,
    concurrency: usize,
}

impl<T, O> std::fmt::Debug for Map<T, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T, O> Map<T, O> {
    /// Names an item's scope, so that its steps are found again when the list changes; by default
    /// its index does.
    pub fn key(mut self, key: impl Fn(&T) -> String + Send + 'static) -> Self {
        self.key = Some(Box::new(key));
        self
    }

    /// How many items run at once; 32 unless said.
    pub fn concurrency(mut self, many: usize) -> Self {
        self.concurrency = many.max(1);
        self
    }

    async fn run(self) -> Result<Vec<O>> {
        let fan = Fan::open(self.shared.clone(), &self.name, ScopeKind::All);
        let mut outcomes: Vec<Option<O>> = self.items.iter().map(|_| None).collect();
        let mut items = self.items.into_iter().enumerate();
        let mut running = FuturesUnordered::new();
        let mut first_error = None;
        loop {
            while running.len() < self.concurrency && first_error.is_none() {
                let Some((i, item)) = items.next() else { break };
                let scope = match &self.key {
                    Some(key) => fan.scope(&key(&item)),
                    None => fan.scope(&i.to_string()),
                };
                let branch = Scoped::new(fan.shared.clone(), scope, (self.each)(item));
                running.push(branch.map(move |ended| (i, ended)));
            }
            match running.next().await {
                Some((i, Ok(value))) => outcomes[i] = Some(value),
                Some((_, Err(error))) => first_error = first_error.or(Some(error)),
                None => break,
            }
        }
        fan.close();
        match first_error {
            Some(error) => Err(error),
            None => Ok(outcomes.into_iter().flatten().collect()),
        }
    }
}

impl<T: Send + 'static, O: Send + 'static> IntoFuture for Map<T, O> {
    type Output = Result<Vec<O>>;
    type IntoFuture = BoxFuture<'static, Result<Vec<O>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
