/**
 * `GET /api/providers`: what a config can be made for, as a form needs it.
 */
import type { FastifyInstance } from 'fastify'
import type { Provider } from '../base/provider.ts'

export async function providerRoutes(
  app: FastifyInstance,
  { providers }: { providers: ReadonlyMap<string, Provider> },
): Promise<void> {
  app.get('/api/providers', async () => ({ items: [...providers.values()].map(providerItem) }))
}

function providerItem({ name, label, kind, upstream }: Provider): object {
  return { name, label, credential: kind, base_url: upstream.baseUrl ?? null, models: upstream.models }
}
