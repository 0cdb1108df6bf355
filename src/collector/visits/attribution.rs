//! Attribution: which system led an item into the cart, and then to its purchase.
//!
//! - **Any event that carries `via`** is a touch, in force until `via_ttl` is over. By `last` touch
//!   it replaces the one before, by `first` only one that is over. An event gets the touch in
//!   force, if any, unless it is about the cart.
//! - **`cart_add`**: an item that is not in the cart is put there and fixed to the touch in force,
//!   even to none; one that is there already stays fixed as it is and counts up.
//! - **`cart_remove`** takes off as many as it says, or all; what is gone is forgotten, and fixed
//!   anew if it comes again.
//! - **`cart_update`**: the cart is what it says. Others leave, new ones are fixed, the rest stay
//!   fixed as they are.
//! - **`cart_clear`** forgets all items.
//! - **`purchase`** takes the items off as `cart_remove` does. One that was not in the cart, or
//!   longer ago than `cart_ttl`, gets the touch in force.
//!
//! An event about items has the `via` of its items if they agree, else none; the items' own stand
//! beside it, one by one. The touch of the event itself comes before its items are fixed.
//!
//! A passive event is one that another site can have a browser send, by a link or a picture. It has
//! its own `via` or the one in force, and changes neither touch nor cart.
//!
//! An event that comes again (`counted`) changes neither touch nor cart, and gets what it got.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What led somewhere: the text of a JSON object on one line, `{"campaign":"fall","channel":"ad"}`.
/// Its keys are sorted, so that what is equal is the same text.
pub type Via = String;

/// Which touch counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Touching {
    /// The last one.
    #[default]
    Last,
    /// The first one, until it is over.
    First,
}

/// How `via` is attributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributionRules {
    /// Which touch counts.
    pub touching: Touching,
    /// How long a touch is in force, in milliseconds.
    pub via_ttl_ms: i64,
    /// How long a cart remembers an item's `via`, in milliseconds.
    pub cart_ttl_ms: i64,
    /// Items of a cart that are remembered; beyond, the oldest are forgotten.
    pub cart_items_max: usize,
}

/// What led the visitor here, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// What led here.
    pub via: Via,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// An item of the cart, and what led it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartItem {
    /// Which one.
    pub sku: String,
    /// How many.
    pub quantity: u64,
    /// What was in force when it was put there.
    pub via: Option<Via>,
    /// When that was, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What an event does to the cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Puts items there.
    CartAdd,
    /// Takes items off.
    CartRemove,
    /// Says what lies there.
    CartUpdate,
    /// Takes all items off.
    CartClear,
    /// Buys items.
    Purchase,
    /// Nothing.
    Other,
}

impl EventKind {
    /// The kind of an event by its name.
    pub fn of(name: &str) -> Self {
        match name {
            "cart_add" => EventKind::CartAdd,
            "cart_remove" => EventKind::CartRemove,
            "cart_update" => EventKind::CartUpdate,
            "cart_clear" => EventKind::CartClear,
            "purchase" => EventKind::Purchase,
            _ => EventKind::Other,
        }
    }

    /// Whether it takes off the items that it names.
    pub(super) fn takes_off(self) -> bool {
        matches!(self, EventKind::CartRemove | EventKind::Purchase)
    }
}

/// What the rules need to know of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFacts {
    /// The client's own id, or what stands for it: by it an event that comes again is known.
    pub id: Option<Uuid>,
    /// What it does to the cart.
    pub kind: EventKind,
    /// Whether it renews the visit.
    pub renews: bool,
    /// Whether another site may have had it sent.
    pub is_passive: bool,
    /// What it says led to it.
    pub via: Option<Via>,
    /// The items that it is about.
    pub items: Vec<ItemFacts>,
}

impl EventFacts {
    /// By what it is known when it comes again. What another site may have had sent is known apart,
    /// so that it counts for none of the visitor's own whose ids can be guessed.
    pub(super) fn counted_id(&self) -> Option<Uuid> {
        let id = self.id?;
        if !self.is_passive {
            return Some(id);
        }
        let digest =
            Sha256::new().chain_update(b"ashiato passive event").chain_update(id).finalize();
        digest.first_chunk().copied().map(Uuid::from_bytes)
    }
}

/// An item that an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFacts {
    /// Which one; empty if it has no name. Those without one are one item to the cart.
    pub sku: String,
    /// How many, if it says so.
    pub quantity: Option<u64>,
}

/// An item and what led it to the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemVia {
    /// Which one; empty if it has no name.
    pub sku: String,
    /// What led it there, if anything is known.
    pub via: Option<Via>,
}

/// What an event is attributed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// The event's own.
    pub via: Option<Via>,
    /// Its items', in its order; none for events that are not about the cart.
    pub items: Vec<ItemVia>,
}

/// Applies one event to what is known of its visitor.
pub(super) fn attribute(
    touch: &mut Option<Touch>,
    cart: &mut Vec<CartItem>,
    event: &EventFacts,
    now_ms: i64,
    rules: &AttributionRules,
) -> Attribution {
    touch.take_if(|touch| is_over(touch.at_ms, rules.via_ttl_ms, now_ms));
    cart.retain(|item| !is_over(item.at_ms, rules.cart_ttl_ms, now_ms));
    if event.is_passive {
        let in_force = touch.as_ref().map(|touch| &touch.via);
        return Attribution { via: event.via.as_ref().or(in_force).cloned(), items: Vec::new() };
    }
    if let Some(via) = &event.via
        && (touch.is_none() || rules.touching == Touching::Last)
    {
        *touch = Some(Touch { via: via.clone(), at_ms: now_ms });
    }
    let in_force = touch.as_ref().map(|touch| &touch.via);
    if matches!(event.kind, EventKind::Other | EventKind::CartClear) {
        if event.kind == EventKind::CartClear {
            cart.clear();
        }
        return Attribution { via: in_force.cloned(), items: Vec::new() };
    }
    let items = match event.kind {
        EventKind::CartUpdate => update_cart(cart, &event.items, in_force, now_ms),
        kind => change_items(cart, &event.items, kind, in_force, now_ms),
    };
    let excess = cart.len().saturating_sub(rules.cart_items_max);
    cart.drain(..excess);
    let via = match items.split_first() {
        Some((first, others)) if others.iter().all(|item| item.via == first.via) => {
            first.via.clone()
        }
        Some(_) => None,
        None => in_force.cloned(),
    };
    Attribution { via, items }
}

/// Whether what began at a moment is over; it is from the millisecond on at which its time is up.
pub(super) fn is_over(since_ms: i64, ttl_ms: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(since_ms) >= ttl_ms
}

/// Changes the cart line by line; gives what led each line's item there.
fn change_items(
    cart: &mut Vec<CartItem>,
    lines: &[ItemFacts],
    kind: EventKind,
    in_force: Option<&Via>,
    now_ms: i64,
) -> Vec<ItemVia> {
    let mut items: Vec<ItemVia> = Vec::with_capacity(lines.len());
    for told in lines {
        // On several lines of one event it is still the same item.
        let before = items.iter().find(|item| item.sku == told.sku).map(|item| item.via.clone());
        let via = change_item(cart, told, kind, in_force, now_ms);
        let via = before.filter(|_| kind.takes_off()).unwrap_or(via);
        items.push(ItemVia { sku: told.sku.clone(), via });
    }
    items
}

/// Makes the cart what the lines say; gives what led each line's item there. Of an item on several
/// lines there are as many as they say together.
fn update_cart(
    cart: &mut Vec<CartItem>,
    lines: &[ItemFacts],
    in_force: Option<&Via>,
    now_ms: i64,
) -> Vec<ItemVia> {
    let mut summed: Vec<ItemFacts> = Vec::with_capacity(lines.len());
    for told in lines {
        match summed.iter_mut().find(|sum| sum.sku == told.sku) {
            Some(sum) => {
                let more = told.quantity.unwrap_or(1);
                sum.quantity = Some(sum.quantity.unwrap_or(1).saturating_add(more));
            }
            None => summed.push(told.clone()),
        }
    }
    cart.retain(|item| summed.iter().any(|told| told.sku == item.sku));
    let items = change_items(cart, &summed, EventKind::CartUpdate, in_force, now_ms);
    if items.len() == lines.len() {
        return items;
    }
    let of_line = |told: &ItemFacts| items.iter().find(|item| item.sku == told.sku).cloned();
    lines.iter().filter_map(of_line).collect()
}

/// Changes one item of the cart; gives what led it there.
fn change_item(
    cart: &mut Vec<CartItem>,
    told: &ItemFacts,
    kind: EventKind,
    in_force: Option<&Via>,
    now_ms: i64,
) -> Option<Via> {
    let place = cart.iter().position(|item| item.sku == told.sku);
    let Some(place) = place else {
        let via = in_force.cloned();
        let quantity = told.quantity.unwrap_or(1);
        if !kind.takes_off() && quantity > 0 {
            let sku = told.sku.clone();
            cart.push(CartItem { sku, quantity, via: via.clone(), at_ms: now_ms });
        }
        return via;
    };
    let item = &mut cart[place];
    let via = item.via.clone();
    item.quantity = match (kind, told.quantity) {
        (EventKind::CartAdd, quantity) => item.quantity.saturating_add(quantity.unwrap_or(1)),
        (EventKind::CartUpdate, quantity) => quantity.unwrap_or(item.quantity),
        (_, quantity) => quantity.map_or(0, |quantity| item.quantity.saturating_sub(quantity)),
    };
    if item.quantity == 0 {
        cart.remove(place);
    }
    via
}

#[cfg(test)]
#[path = "attribution_tests.rs"]
mod tests;
