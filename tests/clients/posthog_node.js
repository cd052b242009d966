// PostHog's Node client. Reads commands as JSON, one a line, and answers each with what the client returned and reported.

const readline = require('node:readline')
const { PostHog } = require('posthog-node')

const host = process.argv[2]
let client
let errors = []

const commands = {
  async open({ project, secret, local = false, capture_mode = 'v0' }) {
    await commands.close()
    process.env.POSTHOG_CAPTURE_MODE = capture_mode
    client = new PostHog(project, {
      host,
      secretKey: secret,
      enableLocalEvaluation: local,
      featureFlagsPollingInterval: null,
      traces: { serviceName: 'shop' },
      disableCompression: true,
    })
    client.on('error', (error) => errors.push(error.message))
    // Waits for the request that the constructor began.
    if (local) await commands.reload()
  },
  async close() {
    await client?.shutdown()
  },
  async reload() {
    await client.reloadFeatureFlags()
  },
  async capture() {
    client.capture({ distinctId: 'ann', event: 'bought', properties: { price: 7 } })
    await client.flush()
  },
  async telemetry() {
    client.metrics.count('orders', 1)
    await client.metrics.flush()
    client.withSpan('order', () => {})
    await client.flush()
  },
  async flags({ local = false }) {
    return client.getAllFlags('ann', { onlyEvaluateLocally: local })
  },
  async remote_config({ key }) {
    return client.getRemoteConfigPayload(key)
  },
  async get({ path }) {
    const headers = { Authorization: `Bearer ${client.options.secretKey}` }
    const response = await client.fetch(host + path, { method: 'GET', headers })
    const body = await response.json()
    if (response.status === 200) return body
    errors.push(`${response.status}: ${body.detail}`)
  },
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line)
    let result
    try {
      result = await commands[command.do](command)
    } catch (error) {
      errors.push(error.message)
    }
    process.stdout.write(JSON.stringify({ result: result ?? null, errors }) + '\n')
    errors = []
  }
  await commands.close()
}

main()
