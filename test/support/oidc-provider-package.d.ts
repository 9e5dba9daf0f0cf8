/** The little of `oidc-provider` that `oidc-provider.ts` uses; the package has no types of its own. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  interface TokenContext {
    readonly oidc: { readonly params: { readonly grant_type?: string } }
  }

  interface AnyContext {
    readonly headers: { readonly authorization?: string }
    readonly oidc?: { readonly client?: { readonly clientAuthMethod: string } }
  }

  export class Provider {
    constructor(issuer: string, configuration: object)
    use(middleware: (context: AnyContext, next: () => Promise<void>) => Promise<void>): void
    callback(): (request: IncomingMessage, response: ServerResponse) => void
    on(event: 'grant.success' | 'grant.revoked', listener: (context: TokenContext) => void): void
    on(
      event: 'grant.error',
      listener: (context: TokenContext, error: { readonly error_detail?: string }) => void,
    ): void
  }
  export const errors: { InvalidGrant: new (detail: string) => Error }
}
