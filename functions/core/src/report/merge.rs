//! What an earlier look has seen that a later one cannot, and the other way round.

use super::{Life, MOST_NOTICES, Report, Told};

impl Report {
    /// This look, and what is stored from others: of the history the later one counts, of instances and notices what
    /// either has seen. `None` if that is what is stored.
    #[must_use]
    pub fn merged(self, stored: Option<&Self>) -> Option<Self> {
        let Some(stored) = stored else {
            return Some(Self {
                revision: 1,
                ..self.concluded()
            });
        };
        let progress = |report: &Self| (report.last_event, report.ended, report.looked_at);
        let (newer, older) = if progress(&self) >= progress(stored) {
            (self, stored.clone())
        } else {
            (stored.clone(), self)
        };
        let mut merged = newer;
        for life in older.instances {
            match merged.instances.iter_mut().find(|one| one.id == life.id) {
                Some(one) => one.complete(life),
                None => merged.instances.push(life),
            }
        }
        merged.instances_left_out = merged.instances_left_out.max(older.instances_left_out);
        let known = merged.instances_left_out;
        merged.limit_lives();
        merged.instances_left_out = merged.instances_left_out.max(known);
        if merged.launch_failures.is_empty() {
            merged.launch_failures = older.launch_failures;
        }
        // Recorded or told once, it does not become unknown again.
        merged.outcome = merged.outcome.or(older.outcome);
        merged.recovered_by = merged.recovered_by.take().or(older.recovered_by);
        for told in older.notices {
            match merged.notices.iter_mut().find(|one| one.id == told.id) {
                Some(one) => one.complete(told),
                None => merged.notices.push(told),
            }
        }
        let merged = merged.concluded();
        let mut same = merged.clone();
        same.looked_at = stored.looked_at;
        if same == *stored && !merged.is_running() {
            return None;
        }
        Some(Self {
            revision: stored.revision + 1,
            ..merged
        })
    }

    /// With a notice that was heard.
    #[must_use]
    pub fn with_notice(mut self, told: Told) -> Self {
        match self.notices.iter_mut().find(|one| one.id == told.id) {
            Some(one) => one.complete(told),
            None => self.notices.push(told),
        }
        self
    }

    /// With what the notices say of who asked, and why it ended so.
    fn concluded(mut self) -> Self {
        self.notices
            .sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        self.notices.truncate(MOST_NOTICES);
        if self.asked.by.is_none() {
            self.asked.by = self.notices.iter().find_map(|told| told.by.clone());
        }
        let outcome = self.outcome.map(crate::notice::Kind::as_str);
        let mut of_outcome = self.notices.iter();
        let of_outcome =
            of_outcome.find(|told| outcome.is_some() && told.kind.as_deref() == outcome);
        if let Some(cause) = of_outcome.and_then(|told| told.cause.clone())
            && !self.needs_attention
        {
            self.cause = Some(cause);
        }
        self
    }
}

impl Life {
    /// With what another look knows and this one does not.
    fn complete(&mut self, other: Self) {
        self.zone = self.zone.take().or(other.zone);
        self.launched = self.launched.or(other.launched);
        self.in_service = self.in_service.or(other.in_service);
        self.healthy = match (self.healthy, other.healthy) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        self.terminating = self.terminating.or(other.terminating);
        self.terminated = self.terminated.or(other.terminated);
        self.state = self.state.take().or(other.state);
        self.boot_report = self.boot_report.take().or(other.boot_report);
        self.reason = self.reason.take().or(other.reason);
    }
}

impl Told {
    /// With what another message knows of it; when it was sent the history knows best, and that is of the later look.
    fn complete(&mut self, other: Self) {
        self.kind = self.kind.take().or(other.kind);
        self.title = self.title.take().or(other.title);
        self.cause = self.cause.take().or(other.cause);
        self.by = self.by.take().or(other.by);
    }
}
