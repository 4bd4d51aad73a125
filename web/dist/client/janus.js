function i(t,e){let n=({token:o})=>t.setJoinToken(o);return e.token&&n(e.token),e.addEventListener("token",n),()=>e.removeEventListener("token",n)}export{i as bindJanus};
