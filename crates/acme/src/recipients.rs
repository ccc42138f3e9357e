//! The listeners that are given a certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vestibule_tls::{Certificate, Certificates, Source};

/// The listeners that are given one certificate by what keeps it, and what they were given last. Cloned, it is the same.
#[derive(Debug, Clone, Default)]
pub struct Recipients(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    listeners: Vec<Arc<Certificates>>,
    given: Vec<Arc<Certificate>>,
}

impl Recipients {
    /// From now on these and no others. Who is new gets at once what the others have.
    pub fn set(&self, listeners: Vec<Arc<Certificates>>) {
        let mut inner = self.lock();
        for listener in &listeners {
            let is_new = !inner.listeners.iter().any(|known| Arc::ptr_eq(known, listener));
            if is_new && !inner.given.is_empty() {
                listener.replace(Source::Acme, inner.given.clone());
            }
        }
        inner.listeners = listeners;
    }

    /// This one too.
    pub(crate) fn add(&self, listener: Arc<Certificates>) {
        self.lock().listeners.push(listener);
    }

    /// Gives all of them these certificates.
    pub(crate) fn give(&self, certificates: Vec<Arc<Certificate>>) {
        let mut inner = self.lock();
        for listener in &inner.listeners {
            listener.replace(Source::Acme, certificates.clone());
        }
        inner.given = certificates;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is in it is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_gets_what_the_others_have_and_who_left_gets_nothing_more() {
        let made = |name: &str| Arc::new(vestibule_tls::self_signed(&[name.to_owned()]).unwrap().certificate);
        let (first, second) = (made("a.example"), made("a.example"));
        let [early, late] = [(); 2].map(|()| Arc::new(Certificates::default()));
        let recipients = Recipients::default();
        recipients.add(Arc::clone(&early));
        recipients.give(vec![Arc::clone(&first)]);
        recipients.set(vec![Arc::clone(&late)]);
        let has = |who: &Certificates, what: &Arc<Certificate>| matches!(who.all().as_slice(), [one] if Arc::ptr_eq(one, what));
        assert!(has(&early, &first) && has(&late, &first));
        recipients.give(vec![Arc::clone(&second)]);
        assert!(has(&early, &first) && has(&late, &second));
    }
}
