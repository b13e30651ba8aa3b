// Uploads a file by tus-js-client as its first argument says, a JSON object of these options:
//   endpoint, token, file, and url to go on with an upload; chunkSize, parallelUploads, deferred;
//   stopAt: give up once so many bytes have been acknowledged; retryDelays: when to try again by itself.
// Prints a JSON object: the upload's url, how many bytes were acknowledged, the offset that each request with
// bytes had, and the file it became.
import fs from 'node:fs'
import { PassThrough } from 'node:stream'
import { Upload } from 'tus-js-client'

const options = JSON.parse(process.argv[2])
// Of a stream that is plainly a file the client would know the length.
const input = options.deferred
  ? fs.createReadStream(options.file).pipe(new PassThrough())
  : fs.readFileSync(options.file)
const told = { acknowledged: 0, offsets: [], file: null }

function tell(upload) {
  process.stdout.write(JSON.stringify({ ...told, url: upload.url }) + '\n', () => process.exit(0))
}

const upload = new Upload(input, {
  endpoint: options.endpoint,
  uploadUrl: options.url ?? null,
  headers: { Authorization: `Bearer ${options.token}` },
  metadata: { filename: 'by tus-js.bin', filetype: 'application/octet-stream' },
  chunkSize: options.chunkSize ?? Infinity,
  parallelUploads: options.parallelUploads ?? 1,
  uploadLengthDeferred: options.deferred ?? false,
  retryDelays: options.retryDelays ?? null,
  onBeforeRequest(request) {
    if (request.getMethod() === 'PATCH') told.offsets.push(Number(request.getHeader('Upload-Offset')))
  },
  onAfterResponse(request, response) {
    told.file = response.getHeader('X-File-Id') ?? told.file
  },
  onChunkComplete(_size, acknowledged) {
    told.acknowledged = acknowledged
    if (options.stopAt && acknowledged >= options.stopAt) {
      upload.abort().then(() => tell(upload))
    }
  },
  onError(error) {
    console.error(String(error))
    process.exit(1)
  },
  onSuccess() {
    tell(upload)
  },
})
upload.start()
