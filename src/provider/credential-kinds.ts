/** The kinds of credential, as provider files and the API call them. */
export const CREDENTIAL_KINDS = [
  'device_code',
  'authorization_code',
  'client_credentials',
  'token_exchange',
  'jwt_bearer',
  'token_request',
  'session',
  'api_key',
  'aws_sigv4',
  'signed_jwt',
] as const
