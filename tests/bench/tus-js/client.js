// Uploads by tus-js-client, one for each line on stdin, a JSON object of these options:
//   endpoint, token (may be empty), size, chunkSize.
// Prints a JSON object for each: the seconds that it took, and the upload's url.
import readline from 'node:readline'
import { Upload } from 'tus-js-client'

let content = Buffer.alloc(0)

function upload(options) {
  // The bytes are made once for all uploads of a size, so that the client costs little.
  if (content.length !== options.size) content = Buffer.alloc(options.size, 'content of a file; ')
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const one = new Upload(content, {
      endpoint: options.endpoint,
      headers: options.token ? { Authorization: `Bearer ${options.token}` } : {},
      metadata: { filename: 'bench.bin', filetype: 'application/octet-stream' },
      chunkSize: options.chunkSize,
      parallelUploads: 1,
      retryDelays: null,
      onError: reject,
      onSuccess: () => resolve({ seconds: (performance.now() - start) / 1000, url: one.url }),
    })
    one.start()
  })
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await upload(JSON.parse(line))) + '\n')
}
