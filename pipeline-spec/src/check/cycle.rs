//! Circles in a graph of things that wait for each other.

/// The members of one circle that can be reached from `roots`, each waiting for the next and the
/// last for the first; `edges[i]` is what `i` waits for. Takes time linear in nodes and edges.
pub(crate) fn find(
    edges: &[Vec<usize>],
    roots: impl IntoIterator<Item = usize>,
) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        New,
        OnPath,
        Done,
    }
    let mut seen = vec![Seen::New; edges.len()];
    for root in roots {
        if seen[root] != Seen::New {
            continue;
        }
        // The path from the root, each with the number of edges already followed.
        let mut path = vec![(root, 0)];
        seen[root] = Seen::OnPath;
        while let Some((node, followed)) = path.last_mut() {
            let (node, edge) = (*node, edges[*node].get(*followed).copied());
            *followed += 1;
            match edge {
                None => {
                    seen[node] = Seen::Done;
                    path.pop();
                }
                Some(to) if seen[to] == Seen::OnPath => {
                    return Some(
                        path.iter()
                            .map(|(i, _)| *i)
                            .skip_while(|i| *i != to)
                            .collect(),
                    );
                }
                Some(to) if seen[to] == Seen::New => {
                    seen[to] = Seen::OnPath;
                    path.push((to, 0));
                }
                Some(_) => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn circles_are_found_with_their_members() {
        let check = |edges: &[&[usize]], expect: Option<&[usize]>| {
            let edges: Vec<Vec<usize>> = edges.iter().map(|e| e.to_vec()).collect();
            assert_eq!(find(&edges, 0..edges.len()).as_deref(), expect, "{edges:?}");
        };
        check(&[], None);
        check(&[&[1], &[2], &[]], None);
        check(&[&[1, 2], &[2], &[]], None);
        check(&[&[0]], Some(&[0]));
        check(&[&[1], &[2], &[1]], Some(&[1, 2]));
        check(&[&[], &[2, 3], &[3], &[0, 1]], Some(&[1, 2, 3]));
    }
}
