// An app that says who may enter, when roompass asks it: copy what you need of it
// into yours. Node 20 or later, nothing else.
//
//	ROOMPASS_WEBHOOK_SECRET=whsec_... PORT=8090 node docs/examples/webhook-node/server.mjs
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

// These stand for your app's database.
const logins = new Map([['anns-login', 'ann'], ['bens-login', 'ben']]) // credential → user
const rooms = new Map([['lobby', ['ann', 'ben']], ['staff', ['ann']]])
const moderators = new Set(['ann'])

// Answers 401 where the login doesn't hold, 403 where it isn't enough, and else who
// it is and what they may. Both are a no. roompass asks again before each of
// somebody's tokens, so a login that ends here ends there some minutes later.
// reason is connect, join, resume, refresh or token; credential is as your page gave
// it to the client, and user is your answer to connect, null for anonymous.
function decide({ reason, credential, user, room }) {
  const known = logins.get(credential)
  if (reason === 'connect') {
    return known ? [200, { user_id: known, data: { name: known } }] : [401]
  }
  // Who resumes a session may do so without the credential: roompass knows them. And
  // it is the one that opened the socket: if yours live for minutes, look at them with
  // connect only, and go by the user here.
  const who = credential ? known : user
  if (!who) return [401]
  if (!rooms.get(room)?.includes(who)) return [403]
  return [200, { user_id: who, kick_users: moderators.has(who) }]
}

const secret = process.env.ROOMPASS_WEBHOOK_SECRET ?? ''
if (!secret.startsWith('whsec_')) {
  console.error('set ROOMPASS_WEBHOOK_SECRET to the secret that roompass signs by: whsec_ and base64')
  process.exit(1)
}
const key = Buffer.from(secret.slice('whsec_'.length), 'base64')

// Says whether these very bytes were signed by our secret in the last 5 minutes, as
// in https://www.standardwebhooks.com. There is a signature by each of the secrets
// that roompass has, so that a secret can be replaced.
function verify(headers, body) {
  const at = headers['webhook-timestamp'] ?? ''
  if (!/^\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > 5 * 60) return false
  const mac = createHmac('sha256', key).update(`${headers['webhook-id']}.${at}.`).update(body).digest()
  return (headers['webhook-signature'] ?? '').split(' ').some((signature) => {
    const [version, text] = signature.split(',')
    const given = Buffer.from(text ?? '', 'base64')
    // Equal in constant time, so that nobody finds it byte by byte.
    return version === 'v1' && given.length === mac.length && timingSafeEqual(given, mac)
  })
}

async function answer(request) {
  if (request.method !== 'POST' || request.url !== '/roompass') return [404]
  const chunks = []
  let length = 0
  for await (const chunk of request) {
    length += chunk.length
    if (length > 1 << 20) return [413]
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  // Not 401, which would be your answer about the person: after 400 roompass lets
  // those go on who are in, and its log says that all is not well.
  if (!verify(request.headers, body)) return [400]
  const { type, data } = JSON.parse(body)
  return type === 'roompass.access' ? decide(data) : [400]
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(() => [400])
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? null))
})
server.listen(Number(process.env.PORT ?? 8090), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/roompass`)
})
