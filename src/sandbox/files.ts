/**
 * `/files` and `/audio/transcriptions`: files are kept for as long as the sandbox runs, and heard as always the same.
 */
import type { FastifyInstance } from 'fastify'
import { ApiError } from './api-error.ts'
import { formOf, type Upload, uploadOf } from './body.ts'
import { randomText } from './digest.ts'

interface Kept {
  readonly about: {
    readonly id: string
    readonly object: 'file'
    readonly bytes: number
    readonly created_at: number
    readonly filename: string
    readonly purpose: string
    readonly status: 'processed'
  }
  readonly type: string
  readonly content: Buffer | undefined
}

const MAX_FILES = 100
const HEARD = 'Hello from the sandbox, which hears the same in everything.'

export function addFiles(scope: FastifyInstance, created: () => number): void {
  const files = new Map<string, Kept>()
  const known = (id: string): Kept => {
    const file = files.get(id)
    if (!file) throw new ApiError('not_found', 'id')
    return file
  }

  scope.post('/files', async ({ body }) => {
    const file = await fileOf(uploadOf(body), created())
    files.set(file.about.id, file)
    const [oldest] = files.keys()
    if (oldest !== undefined && files.size > MAX_FILES) files.delete(oldest)
    return file.about
  })
  scope.get('/files', async () => {
    const data = [...files.values()].map(({ about }) => about)
    const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
    return { object: 'list', data, has_more: false, ...ends }
  })
  scope.get<ById>('/files/:id', async ({ params }) => known(params.id).about)
  scope.get<ById>('/files/:id/content', async ({ params }, reply) => {
    const { content, type } = known(params.id)
    if (!content) throw new ApiError('not_kept')
    return reply.type(type).send(content)
  })
  scope.delete<ById>('/files/:id', async ({ params }) => {
    const { id } = known(params.id).about
    files.delete(id)
    return { id, object: 'file', deleted: true }
  })

  scope.post('/audio/transcriptions', async ({ body }, reply) => {
    const form = await formOf(uploadOf(body))
    if (form?.get('response_format') === 'text') return reply.type('text/plain; charset=utf-8').send(HEARD)
    return { text: HEARD, usage: { type: 'duration', seconds: 1 } }
  })
}

interface ById {
  Params: { id: string }
}

/** The `file` of a form, else the body itself. */
async function fileOf(upload: Upload, created_at: number): Promise<Kept> {
  const form = await formOf(upload)
  const file = form?.get('file')
  const content = file instanceof File ? Buffer.from(await file.arrayBuffer()) : upload.kept
  return {
    about: {
      id: `file-${randomText(12)}`,
      object: 'file',
      bytes: content?.length ?? upload.bytes,
      created_at,
      filename: file instanceof File ? file.name : 'upload',
      purpose: String(form?.get('purpose') ?? 'user_data'),
      status: 'processed',
    },
    type: (file instanceof File && file.type) || 'application/octet-stream',
    content,
  }
}
