//! The least that `warmgate-loadtest compare` can measure: each connection goes to the next
//! upstream, and nothing in it is looked at. `forward 127.0.0.1:8080 http://a:1,http://b:2`

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstreams)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: forward LISTEN UPSTREAM,..."));
    };
    let upstreams: Vec<&str> = upstreams
        .split(',')
        .map(|url| url.trim_start_matches("http://"))
        .collect();
    let listener = TcpListener::bind(listen)?;
    for (number, client) in listener.incoming().enumerate() {
        let (client, upstream) = (client?, upstreams[number % upstreams.len()]);
        match TcpStream::connect(upstream) {
            Ok(engine) => join(client, engine)?,
            // The client hears of it by the end of its connection.
            Err(error) => writeln(&format!("{upstream}: {error}")),
        }
    }
    Ok(())
}

/// Copies both ways until both ends are through.
fn join(client: TcpStream, engine: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    engine.set_nodelay(true)?;
    let ways = [(client.try_clone()?, engine.try_clone()?), (engine, client)];
    for (mut from, mut to) in ways {
        thread::spawn(move || {
            // Whoever cuts a connection ends it for the other side as well.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

fn writeln(line: &str) {
    use io::Write as _;
    // Nobody is left to hear that nobody hears it.
    let _ = writeln!(io::stderr(), "{line}");
}
